"""Files that are whole or not there, whatever is killed, and names that survive a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path, temporary: Path) -> Iterator[None]:
    """Give a file its name when the block has written it as `temporary`, in the same directory; an error removes that.

    Raises OSError.
    """
    try:
        yield
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


@contextmanager
def whole_beside(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; the file takes its name at the end of the block, as by `whole_file`."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    with whole_file(target, temporary):
        yield temporary


def write_whole(target: Path, text: str) -> None:
    """Write a file that is whole or not there, in a directory that is made if there is none. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_beside(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_directory(path: Path) -> None:
    """Return when the names in a directory lie on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
