"""Rerank Fleet: ops."""
