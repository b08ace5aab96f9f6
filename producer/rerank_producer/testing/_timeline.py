"""The timeline: a clock that moves only when a client waits or a test moves it, and the events on it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

#: The clock's start in epoch seconds: any moment will do that is the same in every run.
STARTED_AT = 1_750_000_000.0


@dataclass(order=True, slots=True)
class Event:
    """An action at `at`, in seconds since the clock's start; events of one moment run in the order of `number`."""

    at: float
    number: int
    action: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Timeline:
    """Seconds since its own start. Not thread-safe: the in-memory server's lock guards it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._events: list[Event] = []
        self._made = 0

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self._now

    def epoch(self) -> float:
        """Return the same moment in epoch seconds."""
        return STARTED_AT + self._now

    def at(self, when: float, action: Callable[[], None]) -> Event:
        """Schedule `action` for a moment, in seconds since the start; a moment in the past comes next."""
        self._made += 1
        event = Event(when, self._made, action)
        if when < math.inf:
            heapq.heappush(self._events, event)
        return event

    def run_until(self, end: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Move to `end` through all events until then; stop at the event that makes `enough` true."""
        while not enough() and self._events and self._events[0].at <= end:
            event = heapq.heappop(self._events)
            if not event.cancelled:
                self._now = max(self._now, event.at)
                event.action()
        if not enough():
            self._now = max(self._now, end)
