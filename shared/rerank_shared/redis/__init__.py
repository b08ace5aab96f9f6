"""Connections to Redis: the URL and its options, time-outs, and outages in words."""
