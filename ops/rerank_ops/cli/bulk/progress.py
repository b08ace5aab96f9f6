"""Progress of a run on stderr: a live line on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rerank_ops.cli.bulk.durations import duration
from rerank_ops.cli.plain_lines import plain_lines
from rerank_producer.bulk.progress import Progress

_REFRESHES_PER_S = 4.0


@contextmanager
def shown(progress: Progress, console: Console) -> Iterator[Callable[[str], None]]:
    """Show the progress for the block; yield what prints a sentence beside it."""
    if console.is_terminal:
        with Live(
            get_renderable=lambda: _live(progress),
            console=console,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
        ):
            yield lambda sentence: console.print(f"note: {sentence}", style="yellow")
        return
    with plain_lines(console, lambda: line_of(progress)):
        yield lambda sentence: console.print(f"note: {sentence}")


def line_of(progress: Progress) -> str:
    """Return the progress as one line."""
    share, asked, seconds = progress.share, progress.asked, max(1e-9, progress.seconds())
    if progress.stage != "scoring":
        return progress.stage
    known = f" ({share:.1%})" if share else ""
    parts = [f"{progress.earlier.queries + progress.answered_queries:,} rows{known}"]
    for count, unit in ((progress.answered_queries, "rows"), (asked.pairs, "pairs"), (asked.tokens, "tokens")):
        parts.append(f"{count / seconds:,.{0 if count / seconds >= 10 else 1}f} {unit}/s")
    if asked.pairs:
        parts.append(f"{asked.pairs_cached / asked.pairs:.0%} cached")
    if asked.retries:
        parts.append(f"{asked.retries:,} sent again")
    if failed := progress.committed.failed_queries:
        parts.append(f"{failed:,} failed")
    if (left_s := progress.left_s()) is not None:
        parts.append(f"{duration(left_s)} left")
    waiting = f"; waiting: {asked.waiting_for}" if asked.waiting_for else ""
    return ", ".join(parts) + waiting


def _live(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="ellipsis", no_wrap=True)
    share = progress.share
    bar = ProgressBar(total=1.0, completed=share or 0.0, width=20, pulse=share is None, animation_time=time.monotonic())
    grid.add_row(bar, Text(line_of(progress)))
    return grid
