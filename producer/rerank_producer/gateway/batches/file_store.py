"""Stored files: each has its content, `ID.data`, and its record, `ID.json`. A file is there while its record is.

All of it blocks, and belongs in a thread.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.bulk.files.durable import sync_directory
from rerank_producer.gateway.batches.disk import (
    UNFINISHED,
    age_s,
    make_directory,
    names_in,
    read_record,
    turn,
    write_record,
)
from rerank_producer.gateway.batches.ids import is_file_id
from rerank_producer.gateway.batches.records import FileRecord

#: What an upload or a removal left unfinished is removed when nobody has touched it for so long.
_LEFT_S = 3_600.0
_RECORD, _CONTENT = ".json", ".data"


@dataclass(frozen=True, slots=True)
class FileStore:
    """The files of all owners. `most_bytes` and `most_files` are for one owner."""

    root: Path
    most_bytes: int
    most_files: int
    clock: Callable[[], float] = time.time

    def content(self, owner: str, file_id: str) -> Path:
        """Return where the content of a file lies."""
        return self._folder(owner) / f"{file_id}{_CONTENT}"

    def find(self, owner: str, file_id: str) -> FileRecord | None:
        """Return a file of an owner; None where there is none, or none any more. Raises OSError."""
        if not is_file_id(file_id):
            return None
        record = read_record(self._record(owner, file_id), FileRecord)
        return None if record is None or record.expires_at <= self.clock() else record

    def all_of(self, owner: str) -> list[FileRecord]:
        """Return the files of an owner, newest first. Raises OSError."""
        names = [name.removesuffix(_RECORD) for name in names_in(self._folder(owner)) if name.endswith(_RECORD)]
        found = (self.find(owner, name) for name in names)
        return sorted((each for each in found if each), key=lambda each: (-each.created_at, each.id))

    def check_room(self, owner: str, more_bytes: int) -> None:
        """Raise Refused (413) where an owner's files would be too many, or too large with `more_bytes` more.

        What is being uploaded counts as far as it is there.
        """
        folder, taken, files = self._folder(owner), more_bytes, 0
        for name in names_in(folder):
            files += name.endswith(_RECORD)
            if name.endswith((_CONTENT, UNFINISHED)):
                taken += _size(folder / name)
        if files >= self.most_files:
            message = f"{files:,} files are stored, and {self.most_files:,} are the most; DELETE some (/v1/files/ID)"
            raise Refused(Problem(413, "too_many_files", message))
        if taken > self.most_bytes:
            message = (
                f"the files would be {taken:,} bytes together, and {self.most_bytes:,} are the most; DELETE some "
                "(/v1/files/ID)"
            )
            raise Refused(Problem(413, "storage_full", message))

    @contextmanager
    def growing(self, owner: str, file_id: str) -> Iterator[BinaryIO]:
        """Yield the content of a new file, which is gone after the block unless `keep` has taken it. Raises OSError."""
        make_directory(self._folder(owner))
        part = self._part(owner, file_id)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                yield file
        finally:
            part.unlink(missing_ok=True)

    def keep(self, owner: str, record: FileRecord, content: BinaryIO) -> None:
        """Make what has grown a file of the store. Raises Refused (413), OSError."""
        os.fsync(content.fileno())
        # One at a time, so that two uploads don't both take the last room.
        with turn(self._folder(owner) / ".turn"):
            self.check_room(owner, 0)
            os.replace(self._part(owner, record.id), self.content(owner, record.id))
            write_record(self._record(owner, record.id), record)

    def adopt(self, owner: str, record: FileRecord, source: Path) -> None:
        """Move a file of ours into the store, whatever room there is. It may be done again. Raises OSError."""
        make_directory(self._folder(owner))
        target = self.content(owner, record.id)
        if source.exists():
            os.replace(source, target)
            sync_directory(source.parent)
        # One that was moved before may have been removed since.
        if target.exists() and not self._record(owner, record.id).exists():
            write_record(self._record(owner, record.id), record)

    def remove(self, owner: str, file_id: str) -> bool:
        """Remove a file; return whether there was one. Raises OSError."""
        if not is_file_id(file_id):
            return False
        record = self._record(owner, file_id)
        there = record.exists()
        # The record first: without it the content is nobody's, and is swept up.
        record.unlink(missing_ok=True)
        self.content(owner, file_id).unlink(missing_ok=True)
        return there

    def sweep(self) -> None:
        """Remove files whose time is over, and what was left unfinished. Raises OSError."""
        now = self.clock()
        for owner in names_in(self.root / "files"):
            folder = self._folder(owner)
            for name in names_in(folder):
                if name.endswith(_RECORD):
                    record = read_record(folder / name, FileRecord)
                    if record is not None and record.expires_at <= now:
                        self.remove(owner, record.id)
                elif self._is_left(folder, name) and age_s(folder / name, now) > _LEFT_S:
                    (folder / name).unlink(missing_ok=True)

    def _is_left(self, folder: Path, name: str) -> bool:
        if name.endswith(UNFINISHED):
            return True
        return name.endswith(_CONTENT) and not (folder / (name.removesuffix(_CONTENT) + _RECORD)).exists()

    def _folder(self, owner: str) -> Path:
        return self.root / "files" / owner

    def _record(self, owner: str, file_id: str) -> Path:
        return self._folder(owner) / f"{file_id}{_RECORD}"

    def _part(self, owner: str, file_id: str) -> Path:
        return self._folder(owner) / f"{file_id}{UNFINISHED}"


def disk_full(error: OSError) -> Refused | None:
    """Return the answer to a full disk; None for any other error."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    message = "the disk that files are stored on is full; tell whoever runs this gateway, or try again later"
    return Refused(Problem(507, "insufficient_storage", message, retryable=True))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
