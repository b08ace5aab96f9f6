"""Bodies: the weights of each architecture, read from their published names into one shape a family."""
