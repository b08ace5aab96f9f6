"""The architectures that graphs are built for: their weights by name, and their encoder."""
