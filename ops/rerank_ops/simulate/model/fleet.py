"""Fleet: the queue, the clock and the cost of running that all worker processes of a model share.

A job that arrives wakes the process that has waited longest, as Redis does with blocked clients, so the cost of an
event does not grow with the number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import inf

from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.call import Job
from rerank_ops.simulate.model.loop import Loop
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.queue import Queue
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_worker.consume.backpressure import Backpressure


@dataclass(slots=True)
class Meter:
    """Meter: the processes' busy time, pairs and tokens between two times, in seconds of the virtual clock."""

    begins: float
    ends: float
    busy_s: float = 0.0
    pairs: int = 0
    tokens: int = 0

    def ran(self, begun: float, ended: float) -> None:
        """Add the time of a batch."""
        self.busy_s += max(0.0, min(ended, self.ends) - max(begun, self.begins))

    def scored(self, tokens: int, at: float) -> None:
        """Add a pair that was scored at a time."""
        if self.begins <= at < self.ends:
            self.pairs += 1
            self.tokens += tokens


class Fleet:
    """The queue of a fleet on one virtual clock; `answer` is called with each job that is answered."""

    def __init__(
        self, spec: FleetSpec, policy: Policy, loop: Loop, backlog: Backlog, answer: Callable[[Job], None]
    ) -> None:
        self.spec = spec
        self.policy = policy
        self.loop = loop
        self.bulk_share = spec.bulk_share if policy.floor else 0.0
        self.queue = Queue(self.bulk_share)
        self._backlog = backlog
        self._answer = answer
        self.backpressure = Backpressure(spec.lookahead_s, spec.budget_tokens, spec.cost.predict_s)
        # Cached, because it is called for each pair and there are few lengths.
        self.pair_work = cache(spec.shape.pair_work)
        self._pair_s = cache(lambda tokens: spec.cost.predict_s(spec.shape.pair_work(tokens)))
        self._listening: deque[Callable[[], None]] = deque()

    def put(self, job: Job) -> None:
        """Queue a job, and wake the process that has waited longest, if one waits."""
        self.queue.put(job, job.call.request.tenant if self.policy.order != "fifo" else "")
        if self._listening:
            self._listening.popleft()()

    def take(self, before: float = inf) -> Job | None:
        """Return the next job and answer those past their deadline; None if no job waits, or none is due `before`."""
        while (job := self.queue.take(before)) is not None and self.loop.now >= job.deadline:
            self.answer(job)
        return job

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` once, when a job arrives and all earlier listeners were called."""
        self._listening.append(heard)

    def forget(self, heard: Callable[[], None]) -> None:
        """Take back a `listen`, if it was not called yet."""
        with suppress(ValueError):
            self._listening.remove(heard)

    def answer(self, job: Job) -> None:
        """End a job with its scored pairs."""
        job.answered = True
        if job.counted:
            job.counted = False
            self._backlog.remove(job.call.request.job_class, job.due_at, job.predicted_s)
        self._answer(job)

    def run_s(self, lengths: list[int]) -> float:
        """Return the predicted seconds of one run of pairs."""
        if self.spec.shape.layout != "unpadded":
            return self.spec.cost.predict_s(self.spec.shape.run_work(lengths))
        return sum(map(self._pair_s, lengths))
