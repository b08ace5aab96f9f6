"""Bulk reranking: files of any size in, the same rows out, exactly once, whatever is killed."""
