"""Demo: passages from the standard library's docstrings, questions, BM25, quality measures, and the run itself."""
