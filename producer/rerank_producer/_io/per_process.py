"""Per-process values: each process makes its own, so that a client made before a fork works after it.

Connections and threads do not survive `os.fork()`; a child that used its parent's sockets would read the parent's
answers. There is no lock: one that another thread held during the fork would never be released in the child.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Makes its value on first use in each process. `make` must be cheap and connect nothing: it may run twice."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """Return this process's value."""
        pid = os.getpid()
        value = self._made.get(pid)
        if value is None:
            for parent in [other for other in list(self._made) if other != pid]:
                self._made.pop(parent, None)
            # setdefault is atomic, so that all threads get the same value.
            value = self._made.setdefault(pid, self._make())
        return value

    def take(self) -> T | None:
        """Return this process's value and forget it; None if there is none. The next `get()` makes another."""
        return self._made.pop(os.getpid(), None)
