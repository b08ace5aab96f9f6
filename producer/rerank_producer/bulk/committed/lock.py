"""The lock of an output: one command writes it at a time.

The system gives the lock back when its process dies, however it dies. Where a disk is shared by hosts that do not see
each other's locks, the journal's fence still refuses the slower command.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_shared.errors import OutputInUse


def lock_of(output: Path) -> Path:
    """Return the file whose lock stands for the output."""
    return output.with_name(output.name + ".lock")


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold the lock of an output for the block. Raises OutputInUse while another process has it, OSError."""
    path = lock_of(output)
    descriptor = _taken(path)
    try:
        yield
    finally:
        # While it is still held: who waits for this very file finds that it has no name any more, and makes its own.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_locked(output: Path) -> bool:
    """Whether a process holds the lock of an output at this moment."""
    try:
        descriptor = os.open(lock_of(output), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _taken(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            whose = f", process {owner}" if owner.isdecimal() else ""
            raise OutputInUse(f"{path.with_suffix('')} is being written by another command{whose}") from None
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
