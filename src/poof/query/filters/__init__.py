"""Filters: parsed, matched, compiled to SQL."""
