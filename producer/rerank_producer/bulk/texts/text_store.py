"""Texts by id, of a corpus or of queries, however many: looked up on the disk, never held in memory.

The first run that names a file reads it once into an SQLite database in a cache directory. Later runs open that. The
database is named by an identity of the file, so that a file that was changed gets another one. It gets its name when it
is whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Self
from urllib.parse import quote

from rerank_producer.bulk.files.durable import whole_file
from rerank_producer.bulk.files.identity import sampled
from rerank_producer.bulk.texts.records import Record, text_records
from rerank_shared.errors import InputRefused
from rerank_shared.user_cache import user_cache

#: Of the database's layout, and of how titles and texts are joined.
_RELEASE = 1
_SAMPLES = 1_024
_SAMPLE_BYTES = 256 << 10
_BATCH_RECORDS = 5_000
_BATCH_IDS = 500
#: Of a database, the part that is mapped. Mapped pages count as memory of the process until the system takes them back,
#: so that a large corpus is read by the page behind this.
_MAPPED_BYTES = 64 << 20
_CACHE_KIB = 64 << 10
# Texts lie in the order of the file and are appended; ids alone are sorted, with the line that has their text.
_SCHEMA = """
CREATE TABLE texts (line INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;
"""
_BY_IDS = "SELECT ids.id, text FROM ids JOIN texts ON texts.line = ids.line WHERE ids.id IN ({})"
_BY_ID = "SELECT ids.line, text FROM ids JOIN texts ON texts.line = ids.line WHERE ids.id = ?"
#: Called with the number of records so far.
Progress = Callable[[int], object]


class TextStore:
    """The texts of a file, by id."""

    def __init__(self, source: Path, identity: str, database: sqlite3.Connection) -> None:
        self.source, self.identity, self._database = source, identity, database

    @classmethod
    def of(cls, source: Path, directory: Path | None = None, progress: Progress = lambda records: None) -> Self:
        """Open the texts of a file; the first time, read them into `directory`, or else into the user's cache.

        Raises InputRefused with file and line, OSError, ConfigurationError.
        """
        identity = identity_of(source)
        path = (cache_directory() if directory is None else directory) / f"{identity}.sqlite"
        database = _opened(path)
        if database is None:
            _build(source, identity, path, progress)
            database = _opened(path)
        if database is None:
            raise OSError(errno.EIO, "the database of texts can't be read", str(path))
        return cls(source, identity, database)

    def get_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the texts of those ids that are there. Raises OSError."""
        wanted = iter(dict.fromkeys(ids))
        found: dict[str, str] = {}
        while some := list(islice(wanted, _BATCH_IDS)):
            found.update(self._database.execute(_BY_IDS.format(",".join("?" * len(some))), some).fetchall())
        return found

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def cache_directory() -> Path:
    """Return the directory of the user's cache that holds texts."""
    return user_cache() / "corpora"


def identity_of(source: Path) -> str:
    """Return what tells a file from others: the digest of its size and of samples spread over it, or of the whole.

    Raises OSError.
    """
    _, digest = sampled(source, _SAMPLES, _SAMPLE_BYTES, b"%d " % _RELEASE)
    return digest


def _opened(path: Path) -> sqlite3.Connection | None:
    """Return an open database; None where it is missing or none of ours."""
    if not path.exists():
        return None
    # Immutable: a whole database never changes, so that nothing is locked.
    uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        (release,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
    except sqlite3.DatabaseError:
        release = None
    if release != _RELEASE:
        database.close()
        return None
    return database


def _build(source: Path, identity: str, path: Path, progress: Progress) -> None:
    """Read a file into the database at `path`, which is there when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with whole_file(path, temporary):
        try:
            _fill(source, temporary, progress)
        except sqlite3.OperationalError as error:
            raise _as_os_error(error, temporary) from None
        if identity_of(source) != identity:
            raise InputRefused(f"{source}: it was changed while it was read; run the command again")


def _fill(source: Path, path: Path, progress: Progress) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        # A file that is not whole is thrown away, so there is nothing to roll back.
        database.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{_CACHE_KIB};"
            f"PRAGMA user_version = {_RELEASE}; {_SCHEMA} BEGIN;"
        )
        for count, batch in _batches(text_records(source)):
            database.executemany("INSERT INTO texts VALUES (?, ?)", ((line, text) for line, _, text in batch))
            before = database.total_changes
            database.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", ((name, line) for line, name, _ in batch))
            if database.total_changes - before < len(batch):
                _settle_repeated(source, database, batch)
            progress(count)
        database.execute("COMMIT")
    finally:
        database.close()


def _batches(records: Iterator[Record]) -> Iterator[tuple[int, list[Record]]]:
    """Yield records in lists, each with the number of records up to its end."""
    count = 0
    while batch := list(islice(records, _BATCH_RECORDS)):
        count += len(batch)
        yield count, batch


def _settle_repeated(source: Path, database: sqlite3.Connection, batch: list[Record]) -> None:
    """Drop records that stood before, with the same text. Raises InputRefused for one with another text."""
    for line, name, text in batch:
        first, held = database.execute(_BY_ID, (name,)).fetchone()
        if first == line:
            continue
        if held != text:
            raise InputRefused(f"{source}: the id {name!r} stands on lines {first} and {line} with different texts")
        database.execute("DELETE FROM texts WHERE line = ?", (line,))


def _remove_abandoned(directory: Path) -> None:
    """Remove what builders on this machine left that live no more."""
    host = socket.gethostname()
    for path in directory.glob(f"*.{host}.*.tmp"):
        pid = path.name.removesuffix(".tmp").split(".")[-2]
        if pid.isdecimal() and not _alive(int(pid)):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _as_os_error(error: sqlite3.OperationalError, path: Path) -> OSError:
    """Return the error of a database as one that names its file."""
    full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
    number = errno.ENOSPC if full else errno.EIO
    return OSError(number, os.strerror(errno.ENOSPC) if full else str(error), str(path))
