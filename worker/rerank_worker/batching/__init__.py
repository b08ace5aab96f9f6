"""Batching: chooses the pairs that run next, runs them on one thread, and learns the cost of runs."""
