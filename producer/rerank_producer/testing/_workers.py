"""The in-memory workers: which process takes which job, how long it runs, and how it ends."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rerank_producer.testing._jobs import decoded, record_of
from rerank_producer.testing._scoring import Answer, Model, answer
from rerank_producer.testing._server import Server
from rerank_producer.testing._timeline import STARTED_AT, Event
from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, Job, Outcome, Stages
from rerank_shared.errors import DeadlineExceeded, JobLost, JobRevoked, RerankError
from rerank_shared.queue.backlog import uncount
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.scheduling.urgency import answer_by
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class _Taken:
    """A job that a worker runs: its start, how many of its documents it reaches in time, and the event that ends it."""

    job: Job
    since: float
    in_time: int
    event: Event


@dataclass(slots=True)
class Workers:
    """All processes, each with one job at a time.

    `pair_s` is the time of each pair; a job taken now runs `late_s` seconds longer than predicted.
    """

    server: Server
    settings: Settings
    models: dict[str, Model]
    pair_s: float
    late_s: float = 0.0
    failures: deque[RerankError] = field(default_factory=deque)
    _count: int = 0
    _waiting: list[Job] = field(default_factory=list)
    _taken: dict[int, _Taken] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of live processes."""
        return self._count

    def resize(self, count: int) -> None:
        """Start or stop processes; the jobs of those that stop go back to the queue."""
        for number in range(count, self._count):
            pipe = self.server.store.pipeline()
            fleet.deregister(pipe, self.server.keys, _name(number), self._pools)
            pipe.execute()
            if (taken := self._taken.pop(number, None)) is not None:
                taken.event.cancelled = True
                self._waiting.append(taken.job)
        self._count = count
        self.take()

    def beat(self) -> None:
        """Announce the live processes, the models that they serve, and the cost of a pair."""
        if self._count:
            self.server.run(self._announce)

    def put(self, job: Job) -> None:
        """Put a job on the queue."""
        self._waiting.append(job)

    def drop(self, job_ids: set[str]) -> None:
        """Drop revoked jobs and answer them with JobRevoked; without a live process, do nothing."""
        if not self._count:
            return
        held = [taken.job for taken in self._taken.values()]
        for job in [job for job in [*self._waiting, *held] if job.job_id in job_ids]:
            self._finish(job, JobRevoked(f"job {job.job_id} was cancelled before it was scored"))
        self.forget(job_ids)

    def forget(self, job_ids: set[str] | None = None) -> None:
        """Lose jobs without an answer; None: all."""
        self._waiting = [job for job in self._waiting if job_ids is not None and job.job_id not in job_ids]
        for number, taken in list(self._taken.items()):
            if job_ids is None or taken.job.job_id in job_ids:
                taken.event.cancelled = True
                del self._taken[number]
        self.take()

    def take(self) -> None:
        """Let each idle process take the most urgent job."""
        if self.server.away is not None:
            return
        for number in range(self._count):
            if number not in self._taken and self._waiting:
                job = min(self._waiting, key=lambda job: (job.job_class != "interactive", job.due_at))
                self._waiting.remove(job)
                self._take(number, job)

    def _take(self, number: int, job: Job) -> None:
        timeline = self.server.timeline
        now, deadline = timeline.monotonic(), job.deadline_at - STARTED_AT
        runs_s = self.late_s + job.pairs * self.pair_s
        limit = max(now, answer_by(deadline, job.pairs))
        in_time, ends_at = job.pairs, now + runs_s
        if ends_at > limit or now >= deadline:
            left_s = limit - now - self.late_s
            in_time = 0 if left_s <= 0 or not self.pair_s else min(job.pairs, math.floor(left_s / self.pair_s))
            # A process that never answers is free again at the deadline, when no caller waits any more.
            ends_at = deadline if math.isinf(self.late_s) else limit
        silent = math.isinf(self.late_s)
        event = timeline.at(ends_at, lambda: self._end(number, silent=silent))
        self._taken[number] = _Taken(job, now, in_time, event)

    def _end(self, number: int, *, silent: bool) -> None:
        taken = self._taken.pop(number)
        if self.server.away is not None:
            # Nothing can be written: the job goes back, and is taken again when the server is reachable.
            self._waiting.append(taken.job)
        elif not silent:
            self._finish(taken.job, self._answer(taken, number))
        self.take()

    def _answer(self, taken: _Taken, number: int) -> Answer | RerankError:
        job, now = taken.job, self.server.timeline.monotonic()
        stages = Stages(
            queue_ms=max(0.0, (taken.since + STARTED_AT - job.enqueued_at) * 1000), run_ms=(now - taken.since) * 1000
        )
        late_s = taken.since + STARTED_AT - job.deadline_at
        try:
            if late_s >= 0:
                raise DeadlineExceeded(f"job {job.job_id} reached a worker {late_s * 1000:.0f} ms after its deadline")
            if self.failures:
                raise self.failures.popleft()
            documents = decoded(job, self.server.text(job))
            if documents is None:
                raise JobLost(f"the text of job {job.job_id} is gone: it expired or was evicted before it was read")
            return answer(job, documents, self.models.get(job.model), taken.in_time, _name(number), stages)
        except RerankError as error:
            return error

    def _finish(self, job: Job, found: Answer | RerankError) -> None:
        """End a job in one step: store its record and scores, delete its other keys, announce the record."""
        keys, settings = self.server.keys, self.settings
        told: Outcome | RerankError = found.outcome if isinstance(found, Answer) else found
        record = record_of(job.job_id, told)
        until = self.server.timeline.epoch() + settings.result_ttl_s
        pipe = self.server.store.pipeline()
        keep(pipe, keys, keys.result(job.job_id), record, until)
        uncount(pipe, keys, job)
        end(pipe, keys, keys.text(job.job_id))
        if isinstance(found, Answer) and settings.cache:
            for digest, score in found.cached.items():
                pipe.set(keys.score(digest), wire.encode_score(score), ex=settings.cache_ttl_s)
        pipe.execute()
        self.server.publish(record)

    def _announce(self, pipe: Any) -> None:
        keys, now = self.server.keys, self.server.timeline.epoch()
        cost = SharedCost(CostParameters(run_s=self.pair_s, token_s=0.0, token_longest_s=0.0), now)
        for name, model in self.models.items():
            fleet.announce(pipe, keys, model.identity, now)
            if self.pair_s:
                fleet.share_cost(
                    pipe,
                    keys,
                    [name, pool_id(model.identity)],
                    fleet.cost_field(model.identity.precision, "memory"),
                    cost,
                )
        name = next(iter(self.models))
        for number in range(self._count):
            beat = Heartbeat(_name(number), name, "memory", 1, None, STARTED_AT, 0.0, 0, 0, pools=self._pools)
            fleet.beat(pipe, keys, beat, now)

    @property
    def _pools(self) -> tuple[str, ...]:
        return tuple(pool_id(model.identity) for model in self.models.values())


def _name(number: int) -> str:
    return f"in-memory-{number}"
