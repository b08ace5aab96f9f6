"""Benchmark of fusion: what first-stage scores add to the order on labelled collections, and what fusing costs."""
