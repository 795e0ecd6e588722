"""The machinery of the fault campaigns: what is done to a cluster, what is done against it, and how it is checked."""
