"""Pending job: one job inside a worker process, with its scores, its state and the reason why it ended.

The scoring thread writes a pending job, under its lock; the pool thread that took the job awaits it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

from rerank_shared.contract.messages import Score
from rerank_shared.errors import RerankError
from rerank_shared.tracing.spans import NO_SPAN, Span

#: The reason why a job left before it was scored. `drained`: this process stops, and another one takes the job.
DropReason = Literal["expired", "revoked", "abandoned", "drained"]


@dataclass(slots=True)
class PendingJob:
    """A job's state.

    `deadline`: seconds on the process's monotonic clock. `reply_to`: the caller's reply channel, None if the job was
    submitted for later collection. `begun`: number of pairs that have begun to run. `span`: its trace.
    """

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
    span: Span = NO_SPAN
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
        """Record a pair's score; the last score ends the job."""
        if self.scores[index] is None:
            self.scores[index] = score
            self.unscored -= 1
            if self.unscored == 0:
                self._ended.set()

    def fail(self, error: RerankError) -> None:
        """End the job with an error."""
        if self.open:
            self.error = error
            self._ended.set()

    def drop(self, reason: DropReason) -> None:
        """End the job without its missing scores; the scores that it has stay."""
        if self.open:
            self.dropped = reason
            self._ended.set()

    def wait(self, timeout_s: float) -> bool:
        """Block until the job has ended; return False if `timeout_s` passes first."""
        return self._ended.wait(min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
