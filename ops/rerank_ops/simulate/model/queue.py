"""Twin of the queue in Redis: chooses class and tenant by the fleet's own fairness, then the most urgent job."""

from __future__ import annotations

import heapq
from math import inf

from rerank_ops.simulate.model.call import Job
from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.scheduling.fairness import FairShare


class Queue:
    """The jobs that no process has taken."""

    __slots__ = ("_fair", "_jobs", "_put", "_waiting", "taken_tokens", "waiting")

    def __init__(self, bulk_share: float) -> None:
        self._fair = FairShare(bulk_share)
        self._jobs: dict[tuple[JobClass, str], list[tuple[float, int, Job]]] = {}
        self._waiting: dict[JobClass, set[str]] = {job_class: set() for job_class in JOB_CLASSES}
        self._put = 0
        self.waiting = 0
        #: Tokens of taken jobs, by class and tenant.
        self.taken_tokens: dict[tuple[JobClass, str], int] = {}

    def put(self, job: Job, tenant: str) -> None:
        """Queue a job; jobs of equal urgency are taken in the order in which they were put."""
        job_class = job.call.request.job_class
        heap = self._jobs.setdefault((job_class, tenant), [])
        self._put += 1
        self.waiting += 1
        heapq.heappush(heap, (job.due_at, self._put, job))
        self._waiting[job_class].add(tenant)
        self._fair.arrive(job_class, tenant)

    def waits(self, job_class: JobClass) -> bool:
        """Return whether a job of a class waits."""
        return bool(self._waiting[job_class])

    def take(self, before: float = inf) -> Job | None:
        """Return the next job; None if no job waits, or none is due before `before`."""
        if not self.waiting:
            return None
        is_due = None if before == inf else lambda job_class, tenant: self._first(job_class, tenant).due_at < before
        found = self._fair.choose(self._waiting, self._first_tokens, is_due)
        if found is None:
            return None
        job_class, tenant = found
        heap = self._jobs[job_class, tenant]
        job = heapq.heappop(heap)[2]
        self.waiting -= 1
        if not heap:
            self._waiting[job_class].discard(tenant)
        self.taken_tokens[job_class, tenant] = self.taken_tokens.get((job_class, tenant), 0) + job.tokens
        return job

    def _first(self, job_class: JobClass, tenant: str) -> Job:
        return self._jobs[job_class, tenant][0][2]

    def _first_tokens(self, job_class: JobClass, tenant: str) -> float:
        return self._first(job_class, tenant).tokens
