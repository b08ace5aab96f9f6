"""Who serves which path."""
