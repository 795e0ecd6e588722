"""What is in the tables of a file, as functions of a connection."""
