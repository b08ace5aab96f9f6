"""Choice of model, length, k and weight on judged queries: the best within a latency, confirmed on other queries."""
