"""Graphs built for architectures that are known: one for each run plan, and the tail that they share."""
