"""What is seen of a simulation while it runs: a status on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rerank_ops.cli.console import err
from rerank_ops.cli.plain_lines import EVERY_S, plain_lines


@contextmanager
def simulating(advice: str, every_s: float = EVERY_S) -> Iterator[None]:
    """Say on stderr that the block simulates, for how long it has, and what takes less time."""
    started = time.monotonic()

    def line() -> str:
        return f"simulating for {time.monotonic() - started:.0f} s; {advice}"

    with err.status(f"simulating; {advice}") if err.is_terminal else plain_lines(err, line, every_s):
        yield
