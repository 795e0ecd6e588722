"""Backups, compaction, keys, verification and salvage."""
