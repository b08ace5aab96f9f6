"""`rerank-fleet bulk status` and `bulk export`: a run seen from another shell, and what it has written so far."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rerank_ops.cli.bulk.exits import exits
from rerank_ops.cli.bulk.group import bulk
from rerank_ops.cli.bulk.progress import duration
from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson
from rerank_producer.bulk.committed_file import part_of
from rerank_producer.bulk.formats.guess import assembler_of
from rerank_producer.bulk.journal import Journal, journal_of
from rerank_producer.bulk.lock import is_locked
from rerank_producer.bulk.sources import compression_of
from rerank_shared.errors import InputRefused, OutputInUse

#: The rate is that of the last minute.
_RATE_S = 60.0
_WATCH_S = 2.0

Run = Annotated[Path, typer.Argument(metavar="OUTPUT", help="Output of the run, or its journal.")]


@bulk.command()
def status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Print again every two seconds, until the run ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far a run is."""
    output = _output_of(run)
    with exits():
        while True:
            seen = look(output, time.time())
            print(json.dumps(seen)) if as_json else out.print(_text(seen), soft_wrap=True)
            if not watch or seen["state"] != "running":
                return
            time.sleep(_WATCH_S)


@bulk.command()
def export(
    run: Run,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    partial: Annotated[bool, typer.Option("--partial", help="What is committed so far will do.")] = False,
) -> None:
    """Copy a run's output to a file, complete or as far as it is."""
    output = _output_of(run)
    with exits():
        rows = export_to(output, target, partial=partial)
        err.print(f"{rows:,} rows in {target}")


def export_to(output: Path, target: Path, *, partial: bool) -> int:
    """Write what a run has committed to `target`; return its rows.

    Raises OutputInUse where the run is not complete and `partial` is not asked for, or the target exists; InputRefused
    where its name says another compression; OSError.
    """
    if target.exists():
        raise OutputInUse(f"{target} exists: name another file")
    if compression_of(target) != compression_of(output):
        raise InputRefused(f"{target}: the copy is compressed as {output.name} is: name it with the same ending")
    journal = Journal.look_into(journal_of(output))
    try:
        notes, last, totals = journal.notes, journal.last(), journal.totals()
    finally:
        journal.close()
    if notes.get("finished") and output.exists():
        shutil.copyfile(output, target)
        return totals.queries - totals.failed_queries
    if not partial:
        raise OutputInUse(f"{output} is not complete: add --partial for what is committed so far")
    copy = target.with_name(target.name + f".{os.getpid()}.tmp")
    try:
        _copy_start(part_of(output), copy, last.output_bytes if last else 0)
        assembler_of(notes["fingerprint"]["format"])(copy, target)
    finally:
        copy.unlink(missing_ok=True)
    return totals.queries - totals.failed_queries


def look(output: Path, now: float) -> dict[str, Any]:
    """Return the state of a run as plain data; `now` is epoch seconds. Raises FileNotFoundError, OutputInUse."""
    journal = Journal.look_into(journal_of(output))
    try:
        notes, totals = journal.notes, journal.totals()
        recent = list(journal.entries(since=now - _RATE_S))
        ended_at = notes.get("ended_at")
    finally:
        journal.close()
    finished = bool(notes.get("finished"))
    seconds = min(_RATE_S, now - notes["began_at"]) if "began_at" in notes else 0.0
    rows_per_s = sum(entry.queries for entry in recent) / seconds if seconds > 0 and not finished else 0.0
    total = notes.get("total_queries")
    left_s = (total - totals.queries) / rows_per_s if total is not None and rows_per_s and not finished else None
    return {
        "output": str(output),
        "state": "complete" if finished else "running" if is_locked(output) else "stopped",
        "rows_total": total,
        "rows_per_s": round(rows_per_s, 2),
        "left_s": left_s,
        "began_at": notes.get("began_at"),
        "ended_at": ended_at,
        "model": notes.get("identity", {}).get("model"),
        **asdict(totals),
        "rows": totals.queries,
    }


def _text(seen: dict[str, Any]) -> str:
    of = "" if seen["rows_total"] is None else f" of {seen['rows_total']:,}"
    parts = [f"{seen['output']}: {seen['state']}", f"{seen['rows']:,} rows{of}"]
    if seen["failed_queries"]:
        parts.append(f"{seen['failed_queries']:,} failed")
    if seen["state"] == "running":
        parts.append(f"{seen['rows_per_s']:,.1f} rows/s")
    if seen["left_s"] is not None:
        parts.append(f"{duration(seen['left_s'])} left")
    if seen["state"] == "stopped":
        parts.append("the command that began it goes on with it")
    return ", ".join(parts)


def _output_of(run: Path) -> Path:
    return run.with_name(run.name.removesuffix(".journal"))


def _copy_start(source: Path, target: Path, length: int) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        left = length
        while left > 0 and (data := read.read(min(left, 1 << 20))):
            written.write(data)
            left -= len(data)
