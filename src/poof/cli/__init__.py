"""`poof`, the command."""
