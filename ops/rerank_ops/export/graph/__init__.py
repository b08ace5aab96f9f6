"""Graphs built for architectures that are known: one for each run layout_name, and the tail that they share."""
