"""Who may use which connection when."""
