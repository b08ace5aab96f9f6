"""Rerankers for frameworks, a module for each: langchain, llama_index, haystack. Each needs the extra of its name.

Importing this package imports none of them, so that a framework that isn't installed troubles nobody.
"""
