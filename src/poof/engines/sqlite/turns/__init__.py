"""Who may use which connection when, and on which thread."""
