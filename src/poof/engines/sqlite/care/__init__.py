"""What is done with a whole file: copies, checks, repair, keys."""
