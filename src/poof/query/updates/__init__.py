"""What updates make of documents."""
