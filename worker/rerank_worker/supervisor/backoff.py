"""When a worker process that died is started again: soon, and ever later while it keeps dying.

Pure arithmetic on a clock that is handed in. Whether it is started again at all is decided by the supervisor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Keeps the power finite for a process that has died for years.
_MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential back-off. A process that lived `healthy_s` is forgiven its earlier deaths."""

    first_s: float = 0.1
    longest_s: float = 30.0
    healthy_s: float = 60.0

    def delay_s(self, deaths: int) -> float:
        """Return the wait after the n-th death in a row; the first has number 1."""
        return min(self.longest_s, self.first_s * 2.0 ** min(deaths - 1, _MOST_DOUBLINGS))


class Backoff:
    """Counts the deaths in a row of one process's place in the fleet."""

    def __init__(self, policy: RestartPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._started_at: float | None = None
        self.deaths = 0

    def started(self) -> None:
        """Note that the process runs from now on."""
        self._started_at = self._clock()

    def died(self) -> float:
        """Note that it died, or could not be started, and return the seconds to wait before the next start."""
        if self._started_at is not None and self._clock() - self._started_at >= self._policy.healthy_s:
            self.deaths = 0
        self._started_at = None
        self.deaths += 1
        return self._policy.delay_s(self.deaths)
