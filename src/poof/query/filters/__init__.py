"""What fits: filters parsed, matched, compiled to SQL."""
