"""The tables of a cluster."""
