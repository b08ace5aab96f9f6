"""Small files that are whole or not there, whatever is killed, and a lock for a moment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rerank_producer.bulk.files.durable import sync_directory, whole_file

RecordT = TypeVar("RecordT", bound=BaseModel)
#: What a temporary name ends with.
UNFINISHED = ".part"


def write_record(path: Path, record: BaseModel) -> None:
    """Put a record in the place of the one before; it survives a power cut. Raises OSError."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
    with whole_file(path, part):
        part.write_text(record.model_dump_json(), encoding="utf-8")


def read_record(path: Path, model: type[RecordT]) -> RecordT | None:
    """Return a record; None where there is none, or one that can't be read. Raises OSError."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def make_directory(path: Path) -> None:
    """Make a directory that only this user may enter, and those above it. Raises OSError."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_directory(each.parent)


def names_in(path: Path) -> list[str]:
    """Return the names in a directory, sorted; none where there is no such directory. Raises OSError."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def age_s(path: Path, now: float) -> float:
    """Return the seconds since a file was last changed; 0 where it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return now - path.stat().st_mtime
    return 0.0


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it for the block, among all processes. For moments only. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
