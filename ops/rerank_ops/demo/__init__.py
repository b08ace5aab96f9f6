"""The demo's real input: passages from the standard library's docstrings, questions, BM25 and the measures."""
