"""The window of a bulk run: how much is sent ahead, so that the fleet is busy and little waits in it. Pure.

Work in flight is measured in seconds of the fleet, by the cost that its workers have measured. While that is unknown,
a few requests a process are in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.scheduling.cost import CostParameters, Work

#: Seconds of work in flight for each process. An answer and the request after it are some milliseconds on their way.
AHEAD_S = 2.0
#: Requests in flight for each process, at least: one runs, one waits in the process, one on the queue.
LEAST_REQUESTS = 3
#: Requests in flight at most: those whose scores are cached cost the fleet nothing.
MOST_REQUESTS = 64
#: Pairs of requests that are answered and wait for an earlier one, and of those in flight, at most: memory.
MOST_PAIRS = 16_384


@dataclass(frozen=True, slots=True)
class FleetSpeed:
    """Processes alive, and the cost of one; None while no worker has measured it."""

    processes: int = 0
    cost: CostParameters | None = None

    def run_s(self, request: RerankRequest) -> float:
        """Return the seconds for which one process runs a request; 0 while the cost is unknown."""
        if self.cost is None:
            return 0.0
        lengths = estimate_lengths(request.query, request.contents(), request.max_length)
        return self.cost.predict_s(Work.of(lengths))


@dataclass(slots=True)
class Window:
    """What is in flight, and what may be sent besides."""

    most_requests: int = MOST_REQUESTS
    speed: FleetSpeed = FleetSpeed()
    _seconds: dict[int, float] = field(default_factory=dict)
    _pairs: dict[int, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Requests in flight."""
        return len(self._seconds)

    def admits(self, pairs: int) -> bool:
        """Whether a request of so many pairs may be sent now. One always may."""
        if not self._pairs:
            return True
        if self.requests >= self.most_requests or sum(self._pairs.values()) + pairs > MOST_PAIRS:
            return False
        processes = max(1, self.speed.processes)
        if self.requests < LEAST_REQUESTS * processes:
            return True
        return self.speed.cost is not None and sum(self._seconds.values()) < AHEAD_S * processes

    def sent(self, number: int, request: RerankRequest) -> None:
        """Count a request as in flight."""
        self._seconds[number] = self.speed.run_s(request)
        self._pairs[number] = len(request.documents)

    def answered(self, number: int) -> None:
        """Count a request as answered. Its pairs count until it is `taken`."""
        self._seconds.pop(number, None)

    def taken(self, number: int) -> None:
        """Count an answer as gone: what came before it is answered too."""
        self._seconds.pop(number, None)
        self._pairs.pop(number, None)
