"""Admission: a request that would miss its deadline however it is run is refused before it costs anything.

A caller that takes a partial answer is refused only if no document would be scored in time; a caller that does not, if
some document would not be. While the cost of running is unknown, nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: A client that read the fleet's load and cost goes by them for this long.
LOAD_REMEMBERED_S = 0.25
_RETRY_AFTER_MIN_S = 0.1
#: Predictions are right within some 15 %; a request that could still make it is admitted.
_AT_BEST = 0.8


@dataclass(frozen=True, slots=True)
class AdmissionEstimate:
    """A request's estimate in seconds: its wait for the first run, its own run, and the time left to its deadline."""

    wait_s: float
    run_s: float
    left_s: float

    def hopeless(self, *, partial: bool) -> bool:
        """Whether to refuse the request; with `partial`, only if not even a part would be scored in time."""
        return _AT_BEST * (self.wait_s + (0.0 if partial else self.run_s)) > max(0.0, self.left_s)

    @property
    def too_much(self) -> bool:
        """Whether its own run is longer than the time left, so that an idle process could not help either."""
        return _AT_BEST * self.run_s > max(0.0, self.left_s)

    @property
    def retry_after_s(self) -> float:
        """Seconds after which the same request would fit if no other came: the wait shrinks by a second each second."""
        return max(_RETRY_AFTER_MIN_S, self.wait_s + self.run_s - self.left_s)


def queue_wait_s(ahead_s: Callable[[], float], *, workers: int, idle: int) -> float:
    """Return how long a job waits in the queue for its first run: 0 where a process is idle, or none is alive.

    `ahead_s` gives the seconds of work that is taken before the job; it is asked only where the job waits. All workers
    share that work.
    """
    return 0.0 if idle > 0 or workers == 0 else ahead_s() / workers
