"""Keys: what a user holds (a Fernet key or a password) and how it opens the file's data key."""
