"""The journal of a bulk run: which chunks are done, and how much of each output file is theirs. One SQLite file.

A chunk is entered only when its output lies on the disk. So what the journal names can be trusted whatever was killed,
and what lies behind it in an output file is thrown away. Its size goes with the chunks, not with the rows.

One command owns a journal at a time. Who claims it draws a number, its fence. A commit by an older fence is refused:
a command that was frozen and taken for dead writes nothing more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Self

from rerank_producer.bulk.chunks import Position

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
  number INTEGER PRIMARY KEY, end_byte INTEGER NOT NULL, end_row INTEGER NOT NULL, digest BLOB NOT NULL,
  output_bytes INTEGER NOT NULL, failed_bytes INTEGER NOT NULL, failed_rows INTEGER NOT NULL,
  pairs_run INTEGER NOT NULL, pairs_cached INTEGER NOT NULL, tokens INTEGER NOT NULL
);
"""


class LostOwnership(Exception):
    """Another command has claimed the journal since."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk that is done: where it ends in the input, and where its output and its failed rows end in their files.

    Counts are those of the chunk alone.
    """

    number: int
    end_byte: int
    end_row: int
    digest: bytes
    output_bytes: int
    failed_bytes: int
    failed_rows: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0
    tokens: int = 0

    @property
    def end(self) -> Position:
        """The position of the next chunk."""
        return Position(self.number + 1, self.end_byte, self.end_row)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all chunks that are done."""

    chunks: int
    rows: int
    failed_rows: int
    pairs_run: int
    pairs_cached: int
    tokens: int


class Journal:
    """An open journal, claimed by whoever opened it."""

    def __init__(self, database: sqlite3.Connection, fence: int) -> None:
        self._database, self.fence = database, fence

    @classmethod
    def claim(cls, path: Path) -> Self:
        """Open a journal, or make it, and claim it. Raises sqlite3.Error for a file that is none."""
        database = _connected(path)
        database.executescript(_SCHEMA)
        with _transaction(database):
            fence = int(_meta(database).get("fence", "0")) + 1
            _set(database, fence=str(fence), version=str(_VERSION))
        return cls(database, fence)

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """What the run was begun with; None for a new journal."""
        value = _meta(self._database).get("fingerprint")
        return None if value is None else dict(json.loads(value))

    @property
    def finished(self) -> bool:
        """Whether the run is complete and its output in place."""
        return "finished" in _meta(self._database)

    def begin(self, fingerprint: Mapping[str, Any]) -> None:
        """Note what the run is begun with. Raises LostOwnership."""
        with self._owned():
            _set(self._database, fingerprint=json.dumps(dict(fingerprint), sort_keys=True))

    def commit(self, entry: Entry) -> None:
        """Enter a chunk whose output lies on the disk. Raises LostOwnership."""
        with self._owned():
            self._database.execute(f"INSERT INTO chunks VALUES ({','.join('?' * len(fields(Entry)))})", astuple(entry))

    def finish(self) -> None:
        """Note that the output is in place. Raises LostOwnership."""
        with self._owned():
            _set(self._database, finished="1")

    def last(self) -> Entry | None:
        """Return the last chunk that is done, None if none is."""
        return last_entry(self._database)

    def totals(self) -> Totals:
        """Return the counts so far."""
        return totals(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _owned(self) -> Iterator[None]:
        with _transaction(self._database):
            if int(_meta(self._database)["fence"]) != self.fence:
                raise LostOwnership("another command has claimed this run")
            yield


def last_entry(database: sqlite3.Connection) -> Entry | None:
    """Return the last chunk in an open journal."""
    row = database.execute("SELECT * FROM chunks ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else Entry(*row)


def totals(database: sqlite3.Connection) -> Totals:
    """Return the counts of an open journal."""
    sums = "COUNT(*), COALESCE(MAX(end_row), 0), " + ", ".join(
        f"COALESCE(SUM({name}), 0)" for name in ("failed_rows", "pairs_run", "pairs_cached", "tokens")
    )
    return Totals(*database.execute(f"SELECT {sums} FROM chunks").fetchone())


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    # FULL: a transaction that was committed survives a power cut.
    database.execute("PRAGMA synchronous = FULL")
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    # Immediate: two commands that claim at once draw different fences.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _meta(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT name, value FROM meta").fetchall())


def _set(database: sqlite3.Connection, **values: str) -> None:
    database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
