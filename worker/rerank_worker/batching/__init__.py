"""Pending jobs become runs: which pairs run next, the thread that runs them, what runs cost."""
