"""Graphs built for architectures that are known: one for each layout, and the tail that they share."""
