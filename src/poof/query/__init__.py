"""Filters, updates, sorts and projections: MongoDB's language over plain JSON values. Pure: no SQLite, no I/O."""
