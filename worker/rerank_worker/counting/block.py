"""Numbers by series in one block of memory, which one process writes and others may read while it does.

A block may be handed on: whoever opens it next goes on with the numbers that it finds. A writer that is killed at any
moment leaves a block that can be read.

In units of eight bytes: how many units are in use, then for each series the length of its key in bytes, the key padded,
and the number.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)

#: Four times what a worker has with every label there is. Pages that are never written take no memory.
BLOCK_BYTES = 256 * 1024
_UNIT = 8


class Counts:
    """The numbers of one block of at least two units, all zeros when it is new."""

    def __init__(self, block: Any) -> None:
        """`block` is a writable buffer, such as a bytearray or an mmap."""
        self._bytes = memoryview(block).cast("B")
        self._cells = self._bytes.cast("d")
        self._lock = threading.Lock()
        self._places = dict(self._series())

    def add(self, *terms: tuple[bytes, float]) -> None:
        """Add to numbers by the keys of their series, all before anything else is added."""
        with self._lock:
            for key, amount in terms:
                place = self._places.get(key)
                self._cells[self._new(key) if place is None else place] += amount

    def read(self) -> dict[bytes, float]:
        """Return what has been counted, by anybody who wrote here."""
        return {key: self._cells[place] for key, place in self._series()}

    def _series(self) -> Iterator[tuple[bytes, int]]:
        """Yield each key with the place of its number."""
        at, end = 1, int(self._cells[0]) or 1
        while at < end:
            length = int(self._cells[at])
            start = (at + 1) * _UNIT
            at += 2 + -(-length // _UNIT)
            yield bytes(self._bytes[start : start + length]), at - 1

    def _new(self, key: bytes) -> int:
        """Give a series its place: in use once its key is written whole."""
        at = int(self._cells[0]) or 1
        place = at + 1 + -(-len(key) // _UNIT)
        if place >= len(self._cells) - 1:
            # Labels come from closed sets, so there is room; were there none, the last unit is one that nobody reads.
            log.warning("no room to count series=%r", key)
            place = len(self._cells) - 1
        else:
            start = (at + 1) * _UNIT
            self._bytes[start : start + len(key)] = key
            self._cells[at], self._cells[place] = len(key), 0.0
            self._cells[0] = place + 1
        self._places[key] = place
        return place
