"""What a collection knows from the model that it is bound to: how to read, write and merge its documents."""
