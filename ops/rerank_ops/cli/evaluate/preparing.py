"""Reads the data and finds candidates, with progress on stderr: a corpus may be embedded for hours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rerank_ops.cli.console import err
from rerank_ops.cli.extras import require_embedder
from rerank_ops.evaluate.dataset import Source
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.evaluate.prepared import Prepared, is_dense, prepared

#: Between two plain lines, where stderr is no terminal.
_PLAIN_S = 30.0


def prepared_shown(
    source: Source, stages: Sequence[str], runs: Sequence[str], *, k: int, limit: int | None, oddities: Oddities
) -> Prepared:
    """Return the data of `prepared`. Raises as that, and ConfigurationError where an embedder's extra is missing."""
    if any(map(is_dense, stages)):
        require_embedder()
    with _progress_shown() as tell:
        return prepared(source, stages, runs, k=k, limit=limit, oddities=oddities, tell=tell)


@contextmanager
def _progress_shown() -> Iterator[Callable[[int, int], None]]:
    """Show that data are read; yield what tells how much of all is embedded, in any unit."""
    if not err.is_terminal:
        yield _printer(time.monotonic)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        shown = bar.add_task("reading the data, finding candidates", total=None)
        yield lambda done, total: bar.update(
            shown, description="embedding" if done < total else "finding candidates", completed=done, total=total
        )


def _printer(clock: Callable[[], float]) -> Callable[[int, int], None]:
    told_at = -_PLAIN_S

    def tell(done: int, total: int) -> None:
        nonlocal told_at
        if done in (0, total) or clock() - told_at >= _PLAIN_S:
            told_at = clock()
            err.print(f"embedding: {done / total:.0%}")

    return tell
