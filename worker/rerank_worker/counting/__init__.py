"""Counting: metrics of a worker process, in memory that its supervisor reads."""
