"""Keeps worker processes alive: children, fork server, back-off, cores, and /metrics of them all."""
