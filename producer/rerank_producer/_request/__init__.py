"""A request and its answer as values: what is to be done for it, and what came of it. Pure."""
