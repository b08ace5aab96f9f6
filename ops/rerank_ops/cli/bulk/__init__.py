"""`rerank-fleet bulk`: its options, progress and reports."""
