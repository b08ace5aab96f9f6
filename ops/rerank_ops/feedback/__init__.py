"""Feedback as judgements: what the stream holds, the pull of ranks estimated from swaps, and files for `evaluate`."""
