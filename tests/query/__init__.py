"""The language of queries: filters, updates, projections, orders and plans, without a file."""
