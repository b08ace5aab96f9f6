"""Graphs built for known architectures: one for each layout, and the tail that they share."""
