"""The engine of a file: SQLite, encrypted page by page."""
