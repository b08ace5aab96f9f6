"""Client: looks requests up in the cache, refuses or shards them, and ends each at its deadline with the scored pairs.

`shard_request` decides shards and refusals, as in `rerank_producer._dispatch.shards`.
"""

from __future__ import annotations

from collections.abc import Callable

from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.call import Call, End, Job
from rerank_ops.simulate.model.loop import Loop
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request
from rerank_producer._request.stages import Capacity
from rerank_shared.scheduling.admission import queue_wait_s
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.sharding import idle_processes, open_processes, shard_request
from rerank_shared.scheduling.urgency import answer_by, due_at


class Client:
    """Makes calls and ends them. `open_calls` is the number of calls that have not ended, `workers` that of live
    processes."""

    def __init__(self, spec: FleetSpec, policy: Policy, loop: Loop, backlog: Backlog) -> None:
        self._spec = spec
        self._policy = policy
        self._loop = loop
        self._backlog = backlog
        self._hand_off_s = spec.hand_off_s / 2
        #: The most pairs of each query that were scored.
        self._cached: dict[int | None, int] = {}
        self.calls: list[Call] = []
        self.open_calls = 0
        self.workers = spec.processes

    def call(self, request: Request, then: Callable[[Call], None] | None = None) -> list[Job]:
        """Make a request and return the jobs to send; none if the cache answers it or it is refused.

        `then` is called once it has ended.
        """
        now = self._loop.now
        call = Call(request, now + request.deadline_s, then)
        self.calls.append(call)
        self.open_calls += 1
        if self._cached.get(request.query, 0) >= len(request.tokens):
            call.cached = True
            self._end(call, "met", self._hand_off_s)
            return []
        jobs = self._jobs(call)
        if not jobs:
            self._end(call, "refused", 0.0)
            return []
        call.jobs, call.open_jobs, call.parts = jobs, len(jobs), len(jobs)
        for job in jobs:
            self._backlog.add(request.job_class, job.due_at, job.predicted_s)
        self._loop.at(call.deadline_at, self._give_up, call)
        return jobs

    def answered(self, job: Job) -> None:
        """Take a job's answer, which arrives after half of the hand-off time."""
        self._loop.at(self._loop.now + self._hand_off_s, self._gather, job)

    def fitting(self, request: Request) -> int:
        """Return how many of a request's pairs, best first, can be scored in time, as a cascade's `auto` counts."""
        spec, now, jobs = self._spec, self._loop.now, self._backlog.jobs
        if self._cached.get(request.query, 0) >= len(request.tokens):
            return len(request.tokens)
        deadline_at = now + request.deadline_s
        due = due_at(deadline_at=deadline_at, entered_at=now, aging_s=spec.aging_s)
        idle = idle_processes(workers=self.workers, unanswered=jobs)
        processes = open_processes(request.job_class, workers=self.workers, unanswered=jobs, bulk=self._backlog.bulk)
        return Capacity(
            spec.cost,
            processes if self._policy.shard else 1,
            queue_wait_s(lambda: self._backlog.ahead_s(request.job_class, due, now), workers=self.workers, idle=idle),
            answer_by(deadline_at, len(request.tokens)) - now,
        ).fitting(request.tokens)

    def _jobs(self, call: Call) -> list[Job]:
        request, spec, policy, now = call.request, self._spec, self._policy, self._loop.now
        lengths = request.tokens
        jobs, bulk = self._backlog.jobs, self._backlog.bulk
        idle = idle_processes(workers=self.workers, unanswered=jobs)
        processes = open_processes(request.job_class, workers=self.workers, unanswered=jobs, bulk=bulk)

        def due_at(shard_s: float) -> float:
            return policy.due_at(deadline_at=call.deadline_at, run_s=shard_s, entered_at=now, aging_s=spec.aging_s)

        def wait_s(due: float) -> float:
            return queue_wait_s(
                lambda: self._backlog.ahead_s(request.job_class, due, now), workers=self.workers, idle=idle
            )

        sharding = shard_request(
            lengths,
            run_s=spec.cost.predict_s(Work.of(lengths)),
            processes=processes,
            left_s=request.deadline_s,
            due_at=due_at,
            wait_s=wait_s,
            count=None if policy.shard else 1,
        )
        if policy.refuse and sharding.estimate.hopeless(partial=request.partial):
            return []
        return [self._job(call, [lengths[i] for i in part], sharding.due_at) for part in sharding.shards]

    def _job(self, call: Call, lengths: list[int], due: float) -> Job:
        spec = self._spec
        return Job(
            call=call,
            lengths=lengths,
            tokens=sum(lengths),
            predicted_s=spec.cost.predict_s(Work.of(lengths)),
            due_at=due,
            deadline=answer_by(
                call.deadline_at,
                len(lengths),
                margin_s=spec.reply_margin_s,
                per_pair_s=spec.reply_margin_per_pair_s,
            ),
        )

    def _gather(self, job: Job) -> None:
        call = job.call
        if call.end is None:
            call.open_jobs -= 1
            call.scored += job.scored
            call.refused |= job.refused
            if not call.open_jobs:
                self._end(call, _end_of(call), self._loop.now - call.request.at_s)

    def _give_up(self, call: Call) -> None:
        if call.end is None:
            for job in call.jobs:
                if job.counted:
                    job.counted = False
                    self._backlog.remove(call.request.job_class, job.due_at, job.predicted_s)
            self._end(call, _end_of(call), call.request.deadline_s)

    def _end(self, call: Call, end: End, latency_s: float) -> None:
        assert call.end is None, "a call ends once"
        call.end, call.latency_s = end, latency_s
        # Calls and jobs refer to each other: a cycle would stay in memory until the garbage collector runs.
        call.jobs = []
        self.open_calls -= 1
        if end == "met" and call.request.query is not None:
            known = self._cached.get(call.request.query, 0)
            self._cached[call.request.query] = max(known, len(call.request.tokens))
        if call.then is not None:
            call.then(call)


def _end_of(call: Call) -> End:
    if call.scored == len(call.request.tokens):
        return "met"
    if call.refused and not (call.request.partial and call.scored):
        return "refused"
    return "partial" if call.request.partial and call.scored else "late"
