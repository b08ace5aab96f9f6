"""Counts block: one number for each series, in memory that one process writes while others read.

A later process may open the same block and continues with its numbers. A writer that is killed at any moment leaves a
readable block. Format, in units of eight bytes: the number of units in use; then for each series the length of its key
in bytes, the padded key, and the number.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)

#: Four times the size of a worker's series with every label. Pages that are never written take no memory.
BLOCK_BYTES = 256 * 1024
_UNIT = 8


class Counts:
    """The numbers of one block, which has at least two units and is all zeros when new."""

    def __init__(self, block: Any) -> None:
        """`block` is a writable buffer, such as a bytearray or an mmap."""
        self._bytes = memoryview(block).cast("B")
        self._cells = self._bytes.cast("d")
        self._lock = threading.Lock()
        self._places = dict(self._series())

    def add(self, *terms: tuple[bytes, float]) -> None:
        """Add amounts to the series with these keys, in one step for other threads of this process."""
        with self._lock:
            for key, amount in terms:
                place = self._places.get(key)
                self._cells[self._new(key) if place is None else place] += amount

    def read(self) -> dict[bytes, float]:
        """Return the number of each series by its key, whichever process wrote it."""
        return {key: self._cells[place] for key, place in self._series()}

    def _series(self) -> Iterator[tuple[bytes, int]]:
        """Yield each key with the index of its number, in units."""
        at, end = 1, int(self._cells[0]) or 1
        while at < end:
            length = int(self._cells[at])
            start = (at + 1) * _UNIT
            at += 2 + -(-length // _UNIT)
            yield bytes(self._bytes[start : start + length]), at - 1

    def _new(self, key: bytes) -> int:
        """Add a series and return its index; the series is in use once its whole key is written."""
        at = int(self._cells[0]) or 1
        place = at + 1 + -(-len(key) // _UNIT)
        if place >= len(self._cells) - 1:
            # Labels come from closed sets, so there is room. If there were none, the last unit takes the number unread.
            log.warning("metrics block is full, series not counted series=%r", key)
            place = len(self._cells) - 1
        else:
            start = (at + 1) * _UNIT
            self._bytes[start : start + len(key)] = key
            self._cells[at], self._cells[place] = len(key), 0.0
            self._cells[0] = place + 1
        self._places[key] = place
        return place
