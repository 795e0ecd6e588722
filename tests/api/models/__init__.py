"""Collections that are bound to a model."""
