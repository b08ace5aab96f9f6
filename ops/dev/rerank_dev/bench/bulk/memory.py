"""The command's memory over a million rows, and what a resume of 10^8 rows takes.

Scores of the million come from the cache, so that it is soon done: the same hundred rows again and again. For the
resume the input is a file with a hole: a real head, a real tail, and nothing where the rows are that count as done. The
journal between them is generated. The command itself goes on with it, and is held against one that has only the tail.
"""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

from rerank_dev.bench.bulk.command import BulkCommand, Finished, run_to_end
from rerank_dev.bench.bulk.place import Place
from rerank_dev.bench.record import Figure
from rerank_producer.bulk.committed.journal import Entry, Journal, journal_of
from rerank_producer.bulk.formats.chunks import CHUNK_BYTES, Position, chunks_of

LIMIT_MB = 300.0
#: Most memory at the end over that at the first of these rows.
FLAT = 1.15
_FIRST_ROWS = 10_000
_DISTINCT, _DISTINCT_OF_RESUME, _DOCUMENTS = 100, 20, 3
RESUME_S, RESUME_MB = 1.0, 50.0
_ROW_BYTES = 300


def memory(place: Place) -> list[Figure]:
    """Return the most memory up to 10^4 rows and up to the end."""
    source = _repeated(place.work / "million.jsonl", place.scale.memory_rows)
    command = BulkCommand(place.settings, source, source.with_suffix(".out.jsonl"), "--score-only")
    command.wait_for(_FIRST_ROWS)
    first_mb = command.peak_mb
    finished = command.finish()
    rows = place.scale.memory_rows
    return [
        Figure.of(f"memory of the command, {rows:,} rows", [finished.peak_mb], "MB", "at most", LIMIT_MB),
        Figure.of(f"memory of the command, its first {_FIRST_ROWS:,} rows", [first_mb], "MB"),
        Figure.of(f"the one over the other, {rows:,} rows", [finished.peak_mb / first_mb], "ratio", "at most", FLAT),
        Figure.of(f"rows from the cache, {rows:,} rows", [rows / finished.summary["seconds"]], "rows/s"),
    ]


def resume(place: Place) -> list[Figure]:
    """Return the seconds and the memory that going on behind 10^8 rows takes beyond beginning with what is left."""
    done = place.scale.journal_rows
    seconds, memory_mb, journal_mb = [], [], 0.0
    for number in range(place.scale.rounds):
        long, short = place.work / f"long-{number}.jsonl", place.work / f"short-{number}.jsonl"
        journal_mb = _half_done(place, long, short, done) / 1e6
        # Scores of both runs come from the cache.
        run_to_end(place.settings, short, short.with_suffix(".first.jsonl"), "--score-only")
        fresh = run_to_end(place.settings, short, short.with_suffix(".out.jsonl"), "--score-only")
        resumed = run_to_end(place.settings, long, long.with_suffix(".out.jsonl"), "--score-only")
        _check(resumed, done)
        # Without the start of the interpreter, whose time varies by more than what is measured.
        seconds.append(resumed.summary["seconds"] - fresh.summary["seconds"])
        memory_mb.append(resumed.peak_mb - fresh.peak_mb)
        for path in (long, journal_of(long.with_suffix(".out.jsonl"))):
            path.unlink()
    return [
        Figure.of(f"resume behind {done:,} rows, beyond a fresh start", seconds, "s", "at most", RESUME_S),
        Figure.of(f"memory for that, {done:,} rows", memory_mb, "MB", "at most", RESUME_MB),
        Figure.of(f"journal of {done:,} rows", [journal_mb], "MB"),
    ]


def _half_done(place: Place, long: Path, short: Path, done: int) -> int:
    """Make an input whose first `done` rows count as done, and one of the rest; return the bytes of the journal."""
    output = long.with_suffix(".out.jsonl")
    head, tail = _rows(2 * CHUNK_BYTES, seed=1), _rows(CHUNK_BYTES, seed=2) + _rows(1, seed=2)
    begin = done * _ROW_BYTES
    with long.open("wb") as file:
        file.write(head)
        file.seek(begin)
        file.write(tail)
    # Begun in truth: it commits the first chunk of the head, and stumbles over the hole behind the second.
    command = BulkCommand(place.settings, long, output, "--score-only")
    command.wait_for(1)
    command.kill()
    with long.open("rb") as file:
        file.seek(begin)
        last = next(chunks_of(file, Position(0, begin, done)))
        short.write_bytes(file.read() if file.seek(last.end.byte) else b"")
    journal = Journal.claim(journal_of(output))
    first = journal.entry(0)
    assert first is not None
    journal.close()
    _generate(journal_of(output), first, begin, last.end, last.digest, done)
    return journal_of(output).stat().st_size


def _generate(path: Path, first: Entry, begin: int, end: Position, digest: bytes, done: int) -> None:
    """Enter chunks between the first and the last, as many as so many rows have."""
    count = begin // CHUNK_BYTES
    step, rows = (begin - first.end_byte) / count, (done - first.end_row) / count
    entries = [
        replace(first, number=n, end_byte=first.end_byte + int(n * step), end_row=first.end_row + int(n * rows))
        for n in range(1, count)
    ]
    entries.append(replace(first, number=count, end_byte=begin, end_row=done))
    entries.append(replace(first, number=count + 1, end_byte=end.byte, end_row=end.row, digest=digest))
    columns = Entry.__slots__
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM chunks WHERE number > 0")
        database.executemany(
            f"INSERT INTO chunks VALUES ({','.join('?' * len(columns))})",
            ([getattr(entry, name) for name in columns] for entry in entries),
        )
    database.close()


def _check(resumed: Finished, done: int) -> None:
    if resumed.summary["rows_before"] == 0 or resumed.summary["chunks"] < done * _ROW_BYTES // CHUNK_BYTES:
        raise AssertionError(f"it did not go on: {resumed.summary}")


def _rows(size: int, seed: int) -> bytes:
    """Return some distinct rows again and again, until they have so many bytes."""
    draw = random.Random(seed)
    rows = [_row(draw).encode() for _ in range(_DISTINCT_OF_RESUME)]
    some = b"".join(rows)
    return some * (1 + size // len(some))


def _repeated(path: Path, count: int) -> Path:
    """Write an input of some distinct rows again and again."""
    draw = random.Random(3)
    rows = [_row(draw) for _ in range(_DISTINCT)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(rows[number % _DISTINCT])
    return path


def _row(draw: random.Random) -> str:
    texts = [f"{draw.getrandbits(32):08x} is number {draw.randrange(1000)}" for _ in range(_DOCUMENTS)]
    return json.dumps({"query": f"which number is {draw.randrange(1000)}", "documents": texts}) + "\n"
