"""The command `poof`."""
