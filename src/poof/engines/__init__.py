"""Engines: what keeps the documents of a cluster, behind one contract."""
