"""A bar on stderr for commands that ask many requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rerank_ops.cli.console import err


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[], None]]:
    """Show how many of `total` requests are answered, on stderr; yield what says that one more is."""
    columns = (TextColumn("requests"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # Without a terminal, a bar is noise in a log.
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        shown = bar.add_task("requests", total=total)
        yield lambda: bar.advance(shown)
