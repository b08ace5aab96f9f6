"""Directory in which the processes of one gateway count, in memory where the system has it.

Whoever uses it holds a lock on it, which the system drops with the process. So what a killed gateway left behind is
known by its lock, which nobody holds, and the next start removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "rerank-gateway-"
#: Memory, where the system has it: a full disk ends a process that writes to a mapped file of it.
_MEMORY = Path("/dev/shm")


@contextmanager
def counts_directory(parent: Path | None = None) -> Iterator[Path]:
    """Make a directory for the block, after those of gateways that are no more are removed. Raises OSError."""
    if parent is None:
        parent = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
    sweep(parent)
    path, lock = _made(parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def hold(path: Path) -> int:
    """Return a descriptor that keeps a directory from being swept until it is closed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def sweep(parent: Path) -> None:
    """Remove the directories that no process holds, as far as this user may."""
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _made(parent: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):
            lock = hold(path)
            if path.is_dir():
                return path, lock
            # Another start swept it between its making and its lock.
            os.close(lock)
