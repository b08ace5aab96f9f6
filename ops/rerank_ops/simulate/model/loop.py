"""Virtual clock: runs events in the order of their times; events of one time run in the order of their creation."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Loop:
    """Runs events; `now` does not change while one runs. `events` is the number of events created so far."""

    __slots__ = ("_waiting", "events", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._waiting: list[tuple[float, int, Callable[[Any], object], Any]] = []

    def at(self, moment: float, act: Callable[[Any], object], argument: Any) -> None:
        """Schedule `act(argument)` at a time; for a past time, right after the event that runs."""
        self.events += 1
        heapq.heappush(self._waiting, (max(moment, self.now), self.events, act, argument))

    def stop(self) -> None:
        """Run no further event."""
        self._waiting.clear()

    def run(self) -> None:
        """Run events until none is left."""
        waiting, pop = self._waiting, heapq.heappop
        while waiting:
            self.now, _, act, argument = pop(waiting)
            act(argument)
