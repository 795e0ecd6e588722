"""The bytes of a cluster file, as `docs/format.md` specifies them. Pure: no SQLite, no input or output."""
