"""Keys, passwords and recovery codes."""
