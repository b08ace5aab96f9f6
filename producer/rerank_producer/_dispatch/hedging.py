"""When a waiting caller looks for the job's record itself, hedges a late job, and gives up. Pure: time is passed in.

The answer normally comes by itself. Looking covers a record that was announced while nobody listened, and a job that
the server has forgotten. Where it is known how long 99 of 100 answers take, one that is later is hedged: sent once
more, to whoever is idle. Nothing is sent again merely because it takes long: it is far more often queued behind others
than lost, and the queue must not fill with copies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

FIRST_CHECK_S = 0.5
CHECK_EVERY_S = 1.0
HEDGE_EVERY_S = 0.25


class Act(Enum):
    """What to do now. CHECK always comes before HEDGE."""

    WAIT = "wait"
    CHECK = "check"
    HEDGE = "hedge"
    STOP = "stop"


@dataclass(slots=True)
class Patience:
    """The policy for one job, sent at `sent_at`. `late_at` is when to hedge it."""

    sent_at: float
    give_up_at: float
    late_at: float = math.inf
    _check_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._check_at = min(self.sent_at + FIRST_CHECK_S, self.late_at)

    def act(self, now: float) -> Act:
        """Return what is due, and count it as done."""
        if now >= self.give_up_at:
            return Act.STOP
        if now >= self._check_at:
            later = now + CHECK_EVERY_S
            self._check_at = min(later, self.late_at) if self.late_at > now else later
            return Act.CHECK
        if now >= self.late_at:
            # Until `hedged` is told: when nobody is idle it is asked again, ever less often.
            self.late_at = now + max(HEDGE_EVERY_S, (now - self.sent_at) / 4)
            self._check_at = min(self._check_at, self.late_at)
            return Act.HEDGE
        return Act.WAIT

    def wait_s(self, now: float) -> float:
        """Return how long nothing will be due."""
        return max(0.0, min(self._check_at, self.late_at, self.give_up_at) - now)

    def hedged(self) -> None:
        """Take note that the job was sent to somebody idle; once is enough."""
        self.late_at = math.inf

    def line_restored(self, now: float) -> None:
        """Take note that answers may have passed unheard, and that the server may have lost the job."""
        self._check_at = now
