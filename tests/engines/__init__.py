"""The engines, below the API."""
