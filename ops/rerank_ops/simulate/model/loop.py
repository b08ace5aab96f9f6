"""The virtual clock: events in the order of their times, those of one time in the order in which they were made."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Loop:
    """Runs events; `now` stands still while one runs. `events` is how many were made so far."""

    __slots__ = ("_waiting", "events", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._waiting: list[tuple[float, int, Callable[[Any], object], Any]] = []

    def at(self, moment: float, act: Callable[[Any], object], argument: Any) -> None:
        """Let `act(argument)` happen at a moment; at once after what happens now if that has passed."""
        self.events += 1
        heapq.heappush(self._waiting, (max(moment, self.now), self.events, act, argument))

    def run(self) -> None:
        """Run events until there are none."""
        waiting, pop = self._waiting, heapq.heappop
        while waiting:
            self.now, _, act, argument = pop(waiting)
            act(argument)
