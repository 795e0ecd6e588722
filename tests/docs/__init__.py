"""Documents, examples and benchmarks are run."""
