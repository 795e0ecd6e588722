"""The tree of errors, and what errors say."""
