"""`rerank-fleet demo`: runs a fleet on real text, in two minutes."""

from __future__ import annotations

from rich.console import Console


def demo() -> None:
    """Rerank real questions over Python's own documentation with a fleet on this machine, and measure it."""
    from rerank_ops.demo.run import run_demo

    run_demo(Console())
