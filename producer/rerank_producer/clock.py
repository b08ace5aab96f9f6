"""Time as the producer sees it: monotonic inside the process, epoch seconds on the wire, both injectable.

A call has one absolute deadline, made when it starts; nothing below it has a time-out of its own that adds to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks."""

    monotonic: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on both clocks, and when the wait for it began."""

    started: float
    at: float
    epoch_at: float

    @classmethod
    def after(cls, wait_s: float, clock: Clock) -> Deadline:
        """Return the deadline that lies `wait_s` ahead, or behind when that is negative."""
        now = clock.monotonic()
        return cls(started=now, at=now + wait_s, epoch_at=clock.epoch() + wait_s)

    @classmethod
    def at_epoch(cls, epoch_at: float, clock: Clock) -> Deadline:
        """Return the deadline that another process named."""
        return cls.after(epoch_at - clock.epoch(), clock)
