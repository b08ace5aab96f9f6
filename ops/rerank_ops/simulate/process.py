"""A worker process: it takes jobs while its intake allows, and runs the batches that the real batcher makes of them.

What happens inside a batch is known when it begins, since nothing that comes later changes it: each pair's end is
computed then, and only the ends of jobs and of the batch are events.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

from rerank_ops.simulate.call import Job
from rerank_ops.simulate.runs import split_runs
from rerank_shared.keys import JOB_CLASSES
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.urgency import due_at
from rerank_worker.batching.batcher import Batch, Batcher, Candidate

if TYPE_CHECKING:
    from rerank_ops.simulate.fleet import Fleet

#: A full process asks for something more urgent no more often than this.
ASK_EVERY_S = 0.06


class Process:
    """One process of a fleet. `listening`: it waits for a job to come."""

    __slots__ = (
        "_ask_at",
        "_batcher",
        "_busy_until",
        "_fleet",
        "_held",
        "_jobs",
        "_rings_at",
        "_running",
        "_sequence",
        "listening",
    )

    def __init__(self, fleet: Fleet) -> None:
        spec = fleet.spec
        self._fleet = fleet
        self._batcher = Batcher(
            budget_tokens=spec.budget_tokens,
            max_wait_s=spec.max_wait_s,
            predict_s=spec.cost.predict_s,
            plan=spec.work.plan,
            work_of=fleet.pair_work,
            bulk_share=fleet.bulk_share,
            most_pairs=spec.work.most_pairs,
        )
        self._jobs: dict[bytes, Job] = {}
        self._held: set[Job] = set()
        self._sequence = 0
        #: When the batch that runs will have run, by prediction.
        self._busy_until = 0.0
        self._running = False
        self._rings_at = inf
        self._ask_at = 0.0
        self.listening = False

    def wake(self) -> None:
        """Take what there is room for, and run what there is to run."""
        self._fill()
        while not self._running and self._start():
            # What runs, or was dropped, no longer waits, so there may be room.
            self._fill()

    def _fill(self) -> None:
        while not self.listening and self._has_room():
            job = self._fleet.take()
            if job is None:
                self._fleet.listen(self)
                return
            self._accept(job)

    def _ask(self, _: None) -> None:
        """While full, take one job that is more urgent than all that waits, before a batch ends; as `Gate.ask`."""
        fleet, now = self._fleet, self._fleet.loop.now
        if not fleet.queue.waiting or self._is_full() or now < self._ask_at or self._has_room():
            return
        self._ask_at = now + ASK_EVERY_S
        here = dict.fromkeys(JOB_CLASSES, inf)
        # As in the gate: what runs with all its pairs is about to end.
        for job in set(self._jobs.values()):
            here[job.call.request.job_class] = min(here[job.call.request.job_class], job.due_at)
        # Anything interactive is more urgent than bulk.
        only_bulk = here["interactive"] == inf
        urgent = fleet.take(here["bulk"] if only_bulk and not fleet.queue.waits("interactive") else here["interactive"])
        if urgent is not None:
            self._accept(urgent)

    def _has_room(self) -> bool:
        fleet = self._fleet
        if self._is_full():
            return False
        return not fleet.policy.intake or fleet.intake.open(self._batcher.work, 0)

    def _is_full(self) -> bool:
        return len(self._held) >= self._fleet.spec.concurrency

    def _accept(self, job: Job) -> None:
        loop, now, request = self._fleet.loop, self._fleet.loop.now, job.call.request
        due = self._due_at(job)
        if self._fleet.policy.refuse and self._outlook(job, due).hopeless(partial=request.partial):
            job.refused = True
            self._fleet.answer(job)
            return
        self._held.add(job)
        for length in job.lengths:
            self._sequence += 1
            digest = self._sequence.to_bytes(8, "big")
            self._jobs[digest] = job
            self._batcher.add(Candidate(digest, length, due, job.deadline, now, self._sequence, request.job_class))
        loop.at(job.deadline, self._answer, job)

    def _outlook(self, job: Job, due: float) -> AdmissionEstimate:
        """Return a job's prospects here, as the scorer does."""
        fleet, now = self._fleet, self._fleet.loop.now
        ahead_s = 0.0
        if len(self._batcher):
            ahead_s = fleet.spec.cost.predict_s(self._batcher.ahead(job.call.request.job_class, due))
        running_s = max(0.0, self._busy_until - now)
        return AdmissionEstimate(running_s + ahead_s, sum(map(fleet.pair_s, job.lengths)), job.deadline - now)

    def _due_at(self, job: Job) -> float:
        """Return its urgency here: by deadlines its age begins anew, as in the scorer."""
        fleet = self._fleet
        if fleet.policy.order != "edf":
            return job.due_at
        return due_at(deadline_at=job.deadline, entered_at=fleet.loop.now, aging_s=fleet.spec.aging_s)

    def _start(self) -> bool:
        """Begin the next batch; return whether there was one, be it of pairs that nobody wants any more."""
        loop = self._fleet.loop
        decision = self._batcher.next(loop.now)
        if isinstance(decision, Batch):
            ends = self._run(decision)
            if ends > loop.now:
                self._running = True
                loop.at(ends, self._finish, None)
            return True
        if decision.until is not None and decision.until != self._rings_at:
            self._rings_at = decision.until
            loop.at(decision.until, self._ring, None)
        return False

    def _finish(self, _: None) -> None:
        self._running = False
        self.wake()

    def _ring(self, _: None) -> None:
        if not self._running:
            self.wake()

    def _run(self, batch: Batch) -> float:
        """Carry out a batch in thought; return when it ends. What nobody wants any more is dropped before its run."""
        fleet, at = self._fleet, self._fleet.loop.now
        begun, last_at, predicted = at, at, 0.0
        wanted = [pair for pair in self._claim(batch) if at < pair[1].deadline and not pair[1].answered]
        begin = 0
        for count in split_runs(fleet.spec.work, [tokens for tokens, _ in wanted]):
            run = [pair for pair in wanted[begin : begin + count] if at < pair[1].deadline]
            begin += count
            if not run:
                continue
            slowness = sum(job.call.request.slowness for _, job in run) / len(run)
            last_at = at
            predicted_s = fleet.run_s([tokens for tokens, _ in run])
            predicted += predicted_s
            at += predicted_s * slowness
            for tokens, job in run:
                self._score(job, tokens, at)
        self._busy_until = begun + predicted
        fleet.meter.ran(begun, at)
        if at > begun:
            fleet.loop.at(last_at, self._ask, None)
        return at

    def _claim(self, batch: Batch) -> Iterator[tuple[int, Job]]:
        for candidate in batch.candidates:
            yield candidate.tokens, self._jobs.pop(candidate.digest)

    def _score(self, job: Job, tokens: int, at: float) -> None:
        if at > job.deadline:
            return
        job.scored += 1
        self._fleet.meter.scored(tokens, at)
        if job.scored == len(job.lengths):
            self._fleet.loop.at(at, self._answer, job)

    def _answer(self, job: Job) -> None:
        """Answer a job that is done, or whose deadline has come."""
        if not job.answered:
            self._held.discard(job)
            self._fleet.answer(job)
            self.wake()
