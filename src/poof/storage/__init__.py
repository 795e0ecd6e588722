"""The encrypted SQLite file: the only layer that imports `apsw`."""
