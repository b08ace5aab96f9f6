"""What is seen of a simulation while it runs: a status on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rerank_ops.cli.console import err

#: Between two plain lines.
_PLAIN_S = 5.0


@contextmanager
def simulating(advice: str, every_s: float = _PLAIN_S) -> Iterator[None]:
    """Say on stderr that the block simulates, for how long it has, and what takes less time."""
    if err.is_terminal:
        with err.status(f"simulating; {advice}"):
            yield
        return
    ended, started = threading.Event(), time.monotonic()

    def print_lines() -> None:
        while not ended.wait(every_s):
            err.print(f"simulating for {time.monotonic() - started:.0f} s; {advice}")

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
