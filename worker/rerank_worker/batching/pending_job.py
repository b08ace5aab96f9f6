"""One job inside a worker process: what is still wanted of it, what has been scored, and why it ended.

A ticket is written by the scoring thread and awaited by the pool thread that took the job. Its owner's lock guards it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

from rerank_shared.contract.messages import Score
from rerank_shared.errors import RerankError

#: Why a job left before it was scored. `drained`: this process is stopping, so another one shall do it.
DropReason = Literal["expired", "revoked", "abandoned", "drained"]


@dataclass(slots=True)
class Ticket:
    """A job's state. `deadline` is on the process's monotonic clock; `reply_to` None means nobody listens live; `begun`
    of its pairs have begun to run."""

    job_id: str
    deadline: float
    reply_to: str | None
    scores: list[Score | None]
    digests: tuple[bytes, ...]
    entered: float
    tokens: int
    first_run_at: float | None = None
    begun: int = 0
    batch_pairs: list[int] = field(default_factory=list)
    dropped: DropReason | None = None
    error: RerankError | None = None
    unscored: int = field(init=False)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.unscored = len(self.scores)
        if not self.scores:
            self._ended.set()

    @property
    def waits(self) -> bool:
        """Whether any of its pairs has not begun to run."""
        return self.open and self.begun < len(self.scores)

    @property
    def open(self) -> bool:
        """Whether its pairs are still wanted."""
        return not self._ended.is_set()

    def resolve(self, index: int, score: Score) -> None:
        """Record a pair's score; the last one ends the ticket."""
        if self.scores[index] is None:
            self.scores[index] = score
            self.unscored -= 1
            if self.unscored == 0:
                self._ended.set()

    def fail(self, error: RerankError) -> None:
        """End with an error."""
        if self.open:
            self.error = error
            self._ended.set()

    def drop(self, reason: DropReason) -> None:
        """End without an answer, or with the scores that are there."""
        if self.open:
            self.dropped = reason
            self._ended.set()

    def wait(self, timeout_s: float) -> bool:
        """Block until the ticket has ended; False if the time is over first."""
        return self._ended.wait(min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
