"""Back-off: computes the wait before a dead worker process is started again, longer with each death in a row.

Pure arithmetic on a given clock. The supervisor decides whether the process is started again at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Keeps the power finite for a process that keeps dying for years.
_MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential back-off. A process that lived for `healthy_s` starts its count of deaths again."""

    first_s: float = 0.1
    longest_s: float = 30.0
    healthy_s: float = 60.0

    def delay_s(self, deaths: int) -> float:
        """Return the seconds to wait after `deaths` deaths in a row, at least 1."""
        return min(self.longest_s, self.first_s * 2.0 ** min(deaths - 1, _MOST_DOUBLINGS))


class Backoff:
    """Counts the deaths in a row of one child's processes."""

    def __init__(self, policy: RestartPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._started_at: float | None = None
        self.deaths = 0

    def started(self) -> None:
        """Record that the process has started."""
        self._started_at = self._clock()

    def died(self) -> float:
        """Record a death or a failed start, and return the seconds to wait before the next start."""
        if self._started_at is not None and self._clock() - self._started_at >= self._policy.healthy_s:
            self.deaths = 0
        self._started_at = None
        self.deaths += 1
        return self._policy.delay_s(self.deaths)
