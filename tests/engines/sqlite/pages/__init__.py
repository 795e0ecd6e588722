"""Plaintext on SQLite's side, tokens on the disk's."""
