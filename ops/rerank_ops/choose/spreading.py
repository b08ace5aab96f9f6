"""Spreading: calls a function for many items at once, each in a process, since a simulation keeps one core busy."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Protocol, TypeVar

from rerank_worker.supervisor.cores import affinity

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class Spread(Protocol):
    """Calls a function for each item, and returns what it found in their order."""

    def __call__(self, call: Callable[[_Item], _Found], items: Sequence[_Item]) -> Iterable[_Found]:
        """Return what was found."""


def one_by_one(call: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
    """Call the function in this process."""
    return [call(item) for item in items]


def over_cores(call: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
    """Call the function in a process for each core, where there is more than one; it and the items are pickled."""
    processes = min(len(affinity()), len(items))
    if processes < 2:
        return one_by_one(call, items)
    try:
        # Ctrl-C is for the parent, which gives up what has not begun.
        with ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
        ) as pool:
            return list(pool.map(call, items))
    except BrokenProcessPool:
        # One was killed, for its memory perhaps. One after another they take less.
        return one_by_one(call, items)
