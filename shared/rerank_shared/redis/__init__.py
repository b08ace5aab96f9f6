"""Connections to Redis: the URL and its options, time-outs, and what went wrong in words."""
