"""`rerank-fleet rerank --input`: answers a file of requests, with its progress on stderr."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rerank_ops.bulk.lines import Tally, rerank_lines
from rerank_ops.cli.console import err
from rerank_producer import AsyncRerankClient
from rerank_shared.settings import Settings


def rerank_file(
    settings: Settings, requests: Path, output: Path | None, options: Mapping[str, Any], concurrency: int
) -> int:
    """Answer every line of `requests` into `output` (None: stdout) and return the number that failed."""
    started = time.monotonic()
    with requests.open("rb") as lines, _opened(output) as answers, progress(_count(requests)) as advance:

        def write(line: str) -> None:
            answers.write(line)
            advance()

        tally = asyncio.run(_rerank(settings, lines, options, concurrency, write))
    err.print(report(tally, time.monotonic() - started))
    return tally.failed


def report(tally: Tally, seconds: float) -> str:
    """Return one line with the numbers of answered and failed requests and of pairs."""
    parts = [f"{tally.answered:,} answered"]
    if tally.partial:
        parts.append(f"{tally.partial:,} of them cut off by their deadline")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    return f"{', '.join(parts)}; {tally.pairs_run:,} pairs scored, {tally.pairs_cached:,} cached, in {seconds:.1f} s"


async def _rerank(
    settings: Settings, lines: IO[bytes], options: Mapping[str, Any], concurrency: int, write: Callable[[str], None]
) -> Tally:
    async with AsyncRerankClient(settings) as client:
        return await rerank_lines(lines, client, defaults=options, concurrency=concurrency, write=write)


def _count(requests: Path) -> int | None:
    """Return the number of requests; None for a pipe, which reading would consume."""
    if not requests.is_file():
        return None
    with requests.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[], None]]:
    """Show how many of `total` requests are answered, on stderr; yield what says that one more is."""
    columns = (TextColumn("requests"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # Without a terminal, a bar is noise in a log.
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        shown = bar.add_task("requests", total=total)
        yield lambda: bar.advance(shown)
