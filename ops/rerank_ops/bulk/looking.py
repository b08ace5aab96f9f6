"""A run seen from outside: how far it is, and a copy of what it has committed."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rerank_producer.bulk.committed.journal import Journal, journal_of
from rerank_producer.bulk.committed.lock import is_locked
from rerank_producer.bulk.files.committed_file import part_of
from rerank_producer.bulk.files.sources import compression_of
from rerank_producer.bulk.formats.guess import assembler_of
from rerank_shared.errors import InputRefused, OutputInUse

#: The rate is that of the last minute.
_RATE_S = 60.0


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
    total, limit = notes.get("total_queries"), notes.get("fingerprint", {}).get("limit_queries")
    if total is not None and limit is not None:
        total = min(total, limit)
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


def _copy_start(source: Path, target: Path, length: int) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        left = length
        while left > 0 and (data := read.read(min(left, 1 << 20))):
            written.write(data)
            left -= len(data)
