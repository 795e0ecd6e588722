"""One file as a whole: opened, closed, refused."""
