"""Plain lines: what a long command tells where there is no terminal: a line every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

#: Between two lines.
EVERY_S = 5.0


@contextmanager
def plain_lines(console: Console, line: Callable[[], str], every_s: float = EVERY_S) -> Iterator[None]:
    """Print what `line` returns every few seconds of the block."""
    ended = threading.Event()

    def print_lines() -> None:
        while not ended.wait(every_s):
            console.print(line())

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
