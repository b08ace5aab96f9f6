"""Rerank Fleet: producer."""
