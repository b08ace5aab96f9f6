"""Dense retrieval: texts become vectors, which are kept on the disk; a query's nearest are found by exact search."""
