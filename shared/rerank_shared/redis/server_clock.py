"""The server's clock: epoch seconds that producers and workers share, on top of a process's own monotonic clock.

The host's wall clock is read once, at the start, and counts until the server has answered; its later jumps have no
effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_SLOW_S = 0.05


def epoch_of(answer: tuple[int, int]) -> float:
    """Return the epoch seconds that an answer to TIME tells, (seconds, microseconds)."""
    seconds, micros = answer
    return seconds + micros / 1e6


def server_epoch(client: Any) -> float:
    """Return the server's epoch seconds: one round trip. A host's clock may be wrong, and would drop what others wait
    for."""
    return epoch_of(client.time())


class ServerClock:
    """The two clocks of a process. Thread-safe: a reading during `synchronise` is right before or after it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.monotonic = monotonic
        self._epoch_at_zero = wall() - monotonic()
        self._asked = False

    def epoch(self) -> float:
        """Return the server's epoch seconds; before its first answer, those of the host."""
        return self.monotonic() + self._epoch_at_zero

    def synchronise(self, answer: tuple[int, int], asked_at: float) -> None:
        """Take the answer to TIME, (seconds, microseconds), asked at that monotonic moment and answered just now.

        The server read its clock within the round trip, so the error is at most half of that. After the first answer,
        slow answers are ignored.
        """
        answered_at = self.monotonic()
        if self._asked and answered_at - asked_at > _SLOW_S:
            return
        self._epoch_at_zero = epoch_of(answer) - (asked_at + answered_at) / 2
        self._asked = True
