"""Time as the producer sees it: monotonic inside the process, the server's epoch seconds on the wire, both injectable.

A call has one absolute deadline, made when it starts; nothing below it has a time-out of its own that adds to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.redis.server_clock import ServerClock


def _ignore(_answer: tuple[int, int], _asked_at: float) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks, and how the second one learns the server's time (see ServerClock.synchronise)."""

    monotonic: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time
    synchronise: Callable[[tuple[int, int], float], None] = _ignore

    @classmethod
    def of_server(cls) -> Clock:
        """Return clocks that follow the server's."""
        clock = ServerClock()
        return cls(clock.monotonic, clock.epoch, clock.synchronise)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, and when the wait for it began."""

    started: float
    at: float

    @classmethod
    def after(cls, wait_s: float, clock: Clock) -> Deadline:
        """Return the deadline that lies `wait_s` ahead, or behind when that is negative."""
        now = clock.monotonic()
        return cls(started=now, at=now + wait_s)

    @classmethod
    def at_epoch(cls, epoch_at: float, clock: Clock) -> Deadline:
        """Return the deadline that another process named."""
        return cls.after(epoch_at - clock.epoch(), clock)

    def epoch_at(self, clock: Clock) -> float:
        """Return it in epoch seconds, by what is known of the server's clock now."""
        return clock.epoch() + self.at - clock.monotonic()
