"""The command `choose`: picks model, length, k and weight for a latency on judged queries."""
