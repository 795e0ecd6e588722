"""The bytes of a file, without SQLite."""
