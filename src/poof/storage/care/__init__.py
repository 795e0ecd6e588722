"""Care of a cluster file: copies, checks, sizes, and what can still be read of a damaged one."""
