"""Plaintext on SQLite's side, sealed pages on the disk's: the virtual file system."""
