"""Trial: whether a simulated fleet keeps a latency target, known as soon as it can no longer do so.

A fleet that is too small has the longest backlog, and so the longest simulation. Most of that need not be run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rerank_ops.simulate.model.call import Call
from rerank_ops.simulate.report import Latencies

#: Share of requests that may be refused or late.
TOLERATED = 0.005
#: Share of requests that may be slower than the target, and so many more, since percentiles lie between two requests.
_SLOW, _MORE = 0.05, 2


def keeps(latencies: Latencies, p95_s: float) -> bool:
    """Return whether requests kept a target: the 95th percentile is within it, and few were refused or late."""
    missed = latencies.shares["refused"] + latencies.shares["late"]
    return latencies.p95_ms <= 1000 * p95_s and missed <= TOLERATED


@dataclass(slots=True)
class Trial:
    """Counts the calls that miss a target, of those made after `warm_up_s`, and calls `stop` once it can't be kept."""

    p95_s: float
    warm_up_s: float
    calls: int
    stop: Callable[[], None]
    failed: bool = False
    _slow: int = 0
    _missed: int = 0

    @classmethod
    def of(cls, times_s: Iterable[float], p95_s: float, warm_up_s: float, stop: Callable[[], None]) -> Trial:
        """Return the trial of calls that are made at these times."""
        return cls(p95_s, warm_up_s, sum(at_s >= warm_up_s for at_s in times_s), stop)

    def hear(self, call: Call) -> None:
        """Count a call that has ended."""
        if call.request.at_s < self.warm_up_s:
            return
        self._slow += call.end != "refused" and call.latency_s > self.p95_s
        self._missed += call.end in ("refused", "late")
        if self._slow > _SLOW * self.calls + _MORE or self._missed > TOLERATED * self.calls:
            self.failed = True
            self.stop()
