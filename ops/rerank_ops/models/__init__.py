"""Models of live worker processes: asks which they serve, and has them loaded and unloaded."""
