"""The journal of a bulk run: which chunks are done, and how much of each output file is theirs. One SQLite file.

A chunk is entered only when its output lies on the disk. So what the journal names can be trusted whatever was killed,
and what lies behind it in an output file is thrown away. Its size goes with the chunks, not with the rows.

One command owns a journal at a time. Who claims it draws a number, its fence. A commit by an older fence is refused:
a command that was frozen and taken for dead writes nothing more.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from rerank_producer.bulk.formats.chunks import Position
from rerank_shared.errors import OutputInUse

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS chunks (
  number INTEGER PRIMARY KEY, end_byte INTEGER NOT NULL, end_row INTEGER NOT NULL, digest BLOB NOT NULL,
  output_bytes INTEGER NOT NULL, failed_bytes INTEGER NOT NULL, queries INTEGER NOT NULL,
  failed_queries INTEGER NOT NULL, pairs_run INTEGER NOT NULL, pairs_cached INTEGER NOT NULL, tokens INTEGER NOT NULL,
  committed_at REAL NOT NULL
)""",
)
#: Of the tables above. A journal of another release is refused.
_RELEASE = "1"
#: One connection serves the threads of a run, which take turns. Transactions are begun by hand.
_CONNECTION: dict[str, Any] = {"isolation_level": None, "timeout": 30, "check_same_thread": False}
_OWN_NOTES = ("fence", "release")


def journal_of(output: Path) -> Path:
    """Return the journal of an output."""
    return output.with_name(output.name + ".journal")


@dataclass(frozen=True, slots=True)
class ChunkCounts:
    """What one chunk took: rows that were asked and those of them that failed, pairs by origin, tokens that ran."""

    queries: int = 0
    failed_queries: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk that is done: where it ends in the input, and where its output and its failed rows end in their files.

    Counts are those of the chunk alone; `committed_at` is in epoch seconds.
    """

    number: int
    end_byte: int
    end_row: int
    digest: bytes
    output_bytes: int
    failed_bytes: int
    queries: int = 0
    failed_queries: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0
    tokens: int = 0
    committed_at: float = 0.0

    @property
    def end(self) -> Position:
        """The position of the next chunk."""
        return Position(self.number + 1, self.end_byte, self.end_row)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all chunks that are done; `rows` are those of the input, lines mostly."""

    chunks: int = 0
    rows: int = 0
    queries: int = 0
    failed_queries: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0
    tokens: int = 0

    @property
    def pairs(self) -> int:
        """Pairs that were answered."""
        return self.pairs_run + self.pairs_cached

    @property
    def hit_rate(self) -> float | None:
        """The part of the pairs whose scores were cached; None before the first."""
        return self.pairs_cached / self.pairs if self.pairs else None

    def with_chunk(self, end: Position, counts: ChunkCounts) -> Totals:
        """Return the counts with those of the chunk that ends at `end`."""
        more = {field.name: getattr(self, field.name) + getattr(counts, field.name) for field in fields(counts)}
        return replace(self, chunks=end.chunk, rows=end.row, **more)


class Journal:
    """An open journal."""

    def __init__(self, database: sqlite3.Connection, fence: int) -> None:
        self._database, self.fence = database, fence

    @classmethod
    def claim(cls, path: Path) -> Self:
        """Open a journal, or make it, and claim it. Raises OutputInUse for a file that is none."""
        with _readable(path), _closed_on_error(sqlite3.connect(path, **_CONNECTION)) as database:
            # FULL: a transaction that was committed survives a power cut.
            database.execute("PRAGMA synchronous = FULL")
            with _transaction(database):
                # With the tables comes the release: whoever looks into a journal finds both or neither.
                for statement in _SCHEMA:
                    database.execute(statement)
                notes = _notes(database)
                fence = int(notes.get("fence", "0")) + 1
                _note(database, fence=str(fence), release=notes.get("release", _RELEASE))
            return cls._checked(database, fence, path)

    @classmethod
    def look_into(cls, path: Path) -> Self:
        """Open a journal to read it only. Raises FileNotFoundError; OutputInUse for a file that is none."""
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "no journal of a bulk run", str(path))
        # Not mode=ro: what a killed command left of a commit is undone by whoever opens the file next.
        existing = f"{path.absolute().as_uri()}?mode=rw"
        with _readable(path), _closed_on_error(sqlite3.connect(existing, uri=True, **_CONNECTION)) as database:
            database.execute("PRAGMA query_only = ON")
            if not database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise FileNotFoundError(errno.ENOENT, "the journal of a bulk run that has not begun yet", str(path))
            return cls._checked(database, 0, path)

    @classmethod
    def _checked(cls, database: sqlite3.Connection, fence: int, path: Path) -> Self:
        if (release := _notes(database).get("release")) != _RELEASE:
            raise OutputInUse(f"{path} is of another release of Rerank Fleet ({release}): finish the run with that one")
        return cls(database, fence)

    @property
    def notes(self) -> dict[str, Any]:
        """What was noted, by name."""
        with _readable(_path(self._database)):
            notes = _notes(self._database)
        return {name: json.loads(value) for name, value in notes.items() if name not in _OWN_NOTES}

    def note(self, **values: Any) -> None:
        """Keep values of JSON under their names. Raises OutputInUse where another command has claimed the journal."""
        with self._owned():
            _note(self._database, **{name: json.dumps(value, sort_keys=True) for name, value in values.items()})

    def reset(self) -> None:
        """Forget all chunks and all notes but who owns the journal. Raises OutputInUse."""
        with self._owned():
            self._database.execute("DELETE FROM chunks")
            self._database.execute("DELETE FROM notes WHERE name NOT IN (?, ?)", _OWN_NOTES)

    def commit(self, entry: Entry) -> None:
        """Enter a chunk whose output lies on the disk. Raises OutputInUse."""
        with self._owned():
            self._database.execute(f"INSERT INTO chunks VALUES ({','.join('?' * len(fields(Entry)))})", astuple(entry))

    def last(self) -> Entry | None:
        """Return the last chunk that is done, None if none is."""
        rows = self._read("SELECT * FROM chunks ORDER BY number DESC LIMIT 1")
        return Entry(*rows[0]) if rows else None

    def entry(self, number: int) -> Entry | None:
        """Return a chunk by its number, None if it is not done."""
        rows = self._read("SELECT * FROM chunks WHERE number = ?", number)
        return Entry(*rows[0]) if rows else None

    def entries(self, *, since: float = 0.0) -> Iterator[Entry]:
        """Yield the chunks that were done since a time (epoch seconds), in order."""
        rows = self._read("SELECT * FROM chunks WHERE committed_at >= ? ORDER BY number", since)
        yield from (Entry(*row) for row in rows)

    def totals(self) -> Totals:
        """Return the counts so far."""
        counted = [field.name for field in fields(Totals)][2:]
        sums = "COUNT(*), COALESCE(MAX(end_row), 0), " + ", ".join(f"COALESCE(SUM({name}), 0)" for name in counted)
        return Totals(*self._read(f"SELECT {sums} FROM chunks")[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read(self, query: str, *values: float) -> list[tuple[Any, ...]]:
        with _readable(_path(self._database)):
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _owned(self) -> Iterator[None]:
        with _transaction(self._database):
            if int(_notes(self._database)["fence"]) != self.fence:
                raise OutputInUse("another command has taken this run over; this one writes nothing more")
            yield


@contextmanager
def _closed_on_error(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield database
    except BaseException:
        database.close()
        raise


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    """Raise OSError for a file that can't be read, OutputInUse for one that is no journal."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, f"it can't be read: {error}", str(path)) from error
    except sqlite3.DatabaseError as error:
        raise OutputInUse(f"{path} is no journal of a bulk run, or is damaged ({error})") from error


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    try:
        # Immediate: two commands that claim at once draw different fences.
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        _roll_back(database)
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if full else errno.EIO, f"it can't be written: {error}", _path(database)) from error
    except BaseException:
        _roll_back(database)
        raise


def _roll_back(database: sqlite3.Connection) -> None:
    if database.in_transaction:
        database.execute("ROLLBACK")


def _path(database: sqlite3.Connection) -> str:
    return str(database.execute("PRAGMA database_list").fetchone()[2])


def _notes(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT name, value FROM notes").fetchall())


def _note(database: sqlite3.Connection, **values: str) -> None:
    database.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", values.items())
