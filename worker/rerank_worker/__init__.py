"""Rerank Fleet: worker."""
