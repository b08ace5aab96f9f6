"""Vectors on the disk, by the digests of their texts. Files only grow, and a kill costs what was not appended.

    vectors.f32    rows of float32, one after the other
    digests.bin    16 bytes for each of them

A row counts when both files have all of it: vectors are safe on the disk before their digests are written, and what a
kill left behind is cut off by the next append. Several processes may use a directory at the same time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from rerank_producer.bulk.files.durable import sync_directory

DIGEST_BYTES = 16
_FLOAT_BYTES = 4
Rows = npt.NDArray[np.int64]


class VectorStore:
    """Vectors of one embedder, `width` numbers each."""

    def __init__(self, directory: Path, width: int) -> None:
        """Make the directory where it is missing. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._vectors, self._digests = directory / "vectors.f32", directory / "digests.bin"
        self.directory, self.width = directory, width
        for path in (self._vectors, self._digests):
            path.touch()
        sync_directory(directory)

    def rows_of(self, digests: Sequence[bytes]) -> Rows:
        """Return the row of each digest, and -1 for one that is not there. Raises OSError."""
        known = np.fromfile(self._digests, dtype=f"S{DIGEST_BYTES}", count=self._rows())
        if not len(known):
            return np.full(len(digests), -1, dtype=np.int64)
        wanted = np.array(digests, dtype=f"S{DIGEST_BYTES}")
        order = np.argsort(known, kind="stable")
        places = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
        rows = order[places]
        return np.where(known[rows] == wanted, rows, -1)

    def vectors(self) -> npt.NDArray[np.float32]:
        """Return all rows as a mapped array, shape [rows, width]. Raises OSError."""
        if not (rows := self._rows()):
            return np.empty((0, self.width), dtype=np.float32)
        return np.memmap(self._vectors, dtype=np.float32, mode="r", shape=(rows, self.width))

    def append(self, digests: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> None:
        """Add rows; they are safe on the disk afterwards. Raises OSError that names the file."""
        with self._opened(self._digests) as known, self._opened(self._vectors) as rows:
            # Held for the length of one append, so that nobody waits for another's model.
            fcntl.flock(known, fcntl.LOCK_EX)
            count = self._rows()
            _write(rows, count * self.width * _FLOAT_BYTES, np.ascontiguousarray(vectors, dtype="<f4").data.cast("B"))
            _write(known, count * DIGEST_BYTES, b"".join(digests))

    def _rows(self) -> int:
        row_bytes = self.width * _FLOAT_BYTES
        return min(self._vectors.stat().st_size // row_bytes, self._digests.stat().st_size // DIGEST_BYTES)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[IO[bytes]]:
        """Open a file for a write; an error says which one, since the system names only files that are opened."""
        try:
            with path.open("rb+", buffering=0) as file:
                yield file
        except OSError as error:
            raise OSError(error.errno, error.strerror, error.filename or str(path)) from error


def _write(file: IO[bytes], start: int, data: Any) -> None:
    file.truncate(start)
    file.seek(start)
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())
