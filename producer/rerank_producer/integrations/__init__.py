"""Rerankers for frameworks and engines, a module for each.

langchain, llama_index and haystack need the extra of their name. frames (pandas, Polars, PyArrow), ray_data, spark and
daft need the library alone. Importing this package imports none of them, so a missing one does no harm.
"""
