"""Epoch time by the clock of the Redis server, which producers and workers share, on top of a process's own monotonic
clock. The host's wall clock is read once, until the server has been asked; then it may jump as it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_SLOW_S = 0.05


class ServerClock:
    """Both clocks of a process. Threads may share it: a reading during `synchronise` is right before or after it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.monotonic = monotonic
        self._epoch_at_zero = wall() - monotonic()
        self._asked = False

    def epoch(self) -> float:
        """Return the server's epoch seconds, as far as it has been asked."""
        return self.monotonic() + self._epoch_at_zero

    def synchronise(self, answer: tuple[int, int], asked_at: float) -> None:
        """Take the answer to TIME, (seconds, microseconds), asked at that monotonic moment and answered just now.

        It was read somewhere in between; half of the round trip is the error at most, so after the first answer those
        that took long are passed over.
        """
        (seconds, micros), answered_at = answer, self.monotonic()
        if self._asked and answered_at - asked_at > _SLOW_S:
            return
        self._epoch_at_zero = seconds + micros / 1e6 - (asked_at + answered_at) / 2
        self._asked = True
