"""Which models there are, by which names they are asked for, and how the gateway introduces itself to clients."""
