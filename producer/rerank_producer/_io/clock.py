"""Clocks of the producer: monotonic inside the process, the server's epoch seconds on the wire, both injectable.

A call has one absolute deadline, made when it starts; no step below it adds a time-out of its own.
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
    """The two clocks, and the function that gives the second one the server's time (see ServerClock.synchronise)."""

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
    """A moment on the monotonic clock, and the moment at which the wait for it began."""

    started: float
    at: float

    @classmethod
    def after(cls, wait_s: float, clock: Clock) -> Deadline:
        """Return the deadline that lies `wait_s` ahead, or behind when that is negative."""
        now = clock.monotonic()
        return cls(started=now, at=now + wait_s)

    @classmethod
    def at_epoch(cls, epoch_at: float, clock: Clock) -> Deadline:
        """Return the deadline for the epoch seconds that another process gave."""
        return cls.after(epoch_at - clock.epoch(), clock)

    def epoch_at(self, clock: Clock) -> float:
        """Return the deadline in epoch seconds, by the server's clock as known now."""
        return clock.epoch() + self.at - clock.monotonic()
