"""One cluster file as a whole: found, unlocked, built."""
