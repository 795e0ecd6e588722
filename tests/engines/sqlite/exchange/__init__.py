"""Whole clusters in other forms."""
