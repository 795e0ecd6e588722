"""What may be stored, and what comes back."""
