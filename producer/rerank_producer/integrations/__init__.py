"""Rerankers for frameworks, a module for each: langchain, llama_index, haystack. Each needs the extra of its name.

Importing this package imports none of the frameworks, so a missing one does no harm.
"""
