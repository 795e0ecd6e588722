"""Documents out of a collection, and into one: JSON Lines, JSON arrays, CSV."""
