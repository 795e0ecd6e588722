"""What indexes list, and which of them serves a query."""
