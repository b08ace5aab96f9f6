"""An output file that grows by committed parts, and is moved to its name when it is whole.

Parts are written to `NAME.part`. A run that is resumed cuts that file to what its journal knows of and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self


def part_of(path: Path) -> Path:
    """Return the file in which an output grows."""
    return path.with_name(path.name + ".part")


class CommittedFile:
    """The growing file of an output, open behind its first `length` bytes."""

    def __init__(self, path: Path, file: IO[bytes], length: int) -> None:
        self.path, self._file, self.length = path, file, length

    @classmethod
    def at(cls, path: Path, length: int) -> Self:
        """Open the growing file of `path`, cut to `length` bytes. Raises OSError; ValueError where it is shorter."""
        descriptor = os.open(part_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        held = file.seek(0, os.SEEK_END)
        if held < length:
            file.close()
            raise ValueError(f"{part_of(path)} has {held:,} bytes, and {length:,} were committed: it was changed since")
        file.truncate(length)
        file.seek(length)
        return cls(path, file, length)

    def write(self, data: bytes) -> None:
        """Append data; it is not safe before `sync`. Raises OSError."""
        left = memoryview(data)
        with self._named():
            while left:
                written = self._file.write(left)
                left = left[written or 0 :]
        self.length += len(data)

    def sync(self) -> None:
        """Return when all that was written lies on the disk. Raises OSError."""
        with self._named():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; what was not synced may be lost."""
        self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let an error say which file it is of: the system names only files that are opened."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(part_of(self.path))) from error
