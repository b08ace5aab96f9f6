"""Supervision: keeps worker processes alive, with a fork server, back-off, pinning to cores, and /metrics."""
