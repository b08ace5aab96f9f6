"""The hedge policy: when a waiting caller checks a job's record, hedges a late job, gives up. Pure: time is passed in.

The answer normally announces itself. A check finds a record that was announced while the client did not listen, and a
job that the server has lost. Where the time within which 99 of 100 answers come is known, a later job is hedged: sent
once more, to an idle process. A job is not sent again only because it takes long: it is far more often queued behind
others than lost, and the queue must not fill with copies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

FIRST_CHECK_S = 0.5
CHECK_EVERY_S = 1.0
HEDGE_EVERY_S = 0.25


class Act(Enum):
    """What is due now. CHECK always comes before HEDGE."""

    WAIT = "wait"
    CHECK = "check"
    HEDGE = "hedge"
    STOP = "stop"


@dataclass(slots=True)
class HedgePolicy:
    """The policy for one job. Times are seconds of one monotonic clock; the job is hedged at `late_at`."""

    sent_at: float
    give_up_at: float
    late_at: float = math.inf
    _check_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._check_at = min(self.sent_at + FIRST_CHECK_S, self.late_at)

    def act(self, now: float) -> Act:
        """Return what is due at `now`, and count it as done."""
        if now >= self.give_up_at:
            return Act.STOP
        if now >= self._check_at:
            later = now + CHECK_EVERY_S
            self._check_at = min(later, self.late_at) if self.late_at > now else later
            return Act.CHECK
        if now >= self.late_at:
            # Due again, ever less often, until `hedged` says that a process was idle.
            self.late_at = now + max(HEDGE_EVERY_S, (now - self.sent_at) / 4)
            self._check_at = min(self._check_at, self.late_at)
            return Act.HEDGE
        return Act.WAIT

    def wait_s(self, now: float) -> float:
        """Return the seconds until something is due."""
        return max(0.0, min(self._check_at, self.late_at, self.give_up_at) - now)

    def hedged(self) -> None:
        """Note that the job was sent to an idle process. It is hedged once."""
        self.late_at = math.inf

    def reconnected(self, now: float) -> None:
        """Note that answers may have passed unheard, and that the server may have lost the job: check now."""
        self._check_at = now
