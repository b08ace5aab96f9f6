"""Benchmarks: ratios of one run, variants interleaved, medians told with their spread. Never part of the tests."""
