"""Indexes, as users see them."""
