"""Crew: the processes of a simulated fleet, those that start and those that end.

A process that ends finishes the jobs that it holds. A real one finishes its batch and gives the other jobs back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from rerank_ops.simulate.model.fleet import Fleet, Meter
from rerank_ops.simulate.model.process import Process


@dataclass(slots=True, eq=False)
class _Place:
    """One process from its start on; `process` None: it is not ready. Seconds of the virtual clock."""

    begun_at: float
    process: Process | None = None
    ended_at: float = inf
    retired: bool = False


class Crew:
    """Starts and retires processes, each of which serves the models of all `fleets`.

    `tell` is called with the number of live ones whenever it has changed.
    """

    def __init__(self, fleets: Sequence[Fleet], tell: Callable[[int], None], start_s: float, meter: Meter) -> None:
        self._fleets = fleets
        self._meter = meter
        self._loop = fleets[0].loop
        self._tell = tell
        self._start_s = start_s
        self._places: list[_Place] = []
        self._past: list[_Place] = []
        self.kept = 0

    @property
    def alive(self) -> list[Process]:
        """The processes that are ready and have not ended, those that end now among them."""
        return [place.process for place in self._places if place.process is not None]

    def open(self, processes: int) -> None:
        """Begin with so many processes, which are ready at once."""
        self.kept = processes
        for _ in range(processes):
            self._ready(self._place())

    def resize(self, processes: int) -> None:
        """Start or retire processes, so that this many are kept: the idlest end first, of those the youngest."""
        missing, self.kept = processes - self.kept, processes
        for _ in range(missing):
            self._loop.at(self._loop.now + self._start_s, self._ready, self._place())
        if missing < 0:
            kept = [place for place in self._places if not place.retired]
            kept.sort(key=lambda place: (place.process.held_tokens if place.process else 0, -place.begun_at))
            for place in kept[:-missing]:
                self._retire(place)

    def process_s(self, begins: float, ends: float) -> float:
        """Return the seconds of all processes between two times, starting and ending ones too."""
        every = (*self._past, *self._places)
        return sum(max(0.0, min(ends, place.ended_at) - max(begins, place.begun_at)) for place in every)

    def _place(self) -> _Place:
        place = _Place(self._loop.now)
        self._places.append(place)
        return place

    def _ready(self, place: _Place) -> None:
        if not place.retired:
            place.process = Process(self._fleets, self._meter)
            self._tell(len(self.alive))
            place.process.wake()

    def _retire(self, place: _Place) -> None:
        place.retired = True
        if place.process is None:
            self._end(place)
        else:
            place.process.retire(lambda: self._end(place))

    def _end(self, place: _Place) -> None:
        place.ended_at = self._loop.now
        self._places.remove(place)
        self._past.append(place)
        self._tell(len(self.alive))
