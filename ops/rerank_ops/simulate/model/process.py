"""Worker process: takes jobs while its gate allows, and runs the batches that the real batcher forms.

Later events don't change a batch that has begun, so the end of each pair is computed at its begin. Only the ends of
jobs and of the batch are events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf

from rerank_ops.simulate.model.call import Job
from rerank_ops.simulate.model.fleet import Fleet
from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.fairness import ClassShare
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.scheduling.urgent_take import AskPace, first_due, must_beat
from rerank_worker.batching.batch_runs import batch_runs
from rerank_worker.batching.batcher import Batch, Batcher, WaitingPair

#: A pair's tokens, and its job.
_Pair = tuple[int, Job]


class Process:
    """One process of a fleet."""

    __slots__ = (
        "_ask_pace",
        "_batcher",
        "_busy",
        "_ended",
        "_fleet",
        "_held",
        "_jobs",
        "_last_batch",
        "_listening",
        "_ran_s",
        "_rings_at",
        "_running",
        "_sequence",
        "started_at",
    )

    def __init__(self, fleet: Fleet) -> None:
        spec = fleet.spec
        self._fleet = fleet
        self.started_at = fleet.loop.now
        self._batcher = Batcher(
            budget_tokens=spec.budget_tokens,
            max_wait_s=spec.max_wait_s,
            predict_s=spec.cost.predict_s,
            layout=spec.shape.layout,
            work_of=fleet.pair_work,
            share=ClassShare(fleet.bulk_share),
            most_pairs=spec.shape.batch_pairs,
        )
        self._jobs: dict[bytes, Job] = {}
        self._held: set[Job] = set()
        self._sequence = 0
        #: For each run of the batch its begin, and the predicted end of the batch at that time.
        self._busy: list[tuple[float, float]] = []
        self._running = False
        self._rings_at = inf
        self._ask_pace = AskPace()
        #: Whether it waits for a job to arrive.
        self._listening = False
        #: Called once it has ended; None while nobody has asked it to.
        self._ended: Callable[[], None] | None = None
        #: Seconds of its batches by class, and the end of the last one with the share of each class in it.
        self._ran_s: dict[JobClass, float] = dict.fromkeys(JOB_CLASSES, 0.0)
        self._last_batch: tuple[float, Mapping[JobClass, float]] = (0.0, {})

    @property
    def held_tokens(self) -> int:
        """Tokens of the jobs that it holds."""
        return sum(job.tokens for job in self._held)

    def busy_s(self) -> dict[JobClass, float]:
        """Return for how long it has run work of each class until now."""
        ends, shares = self._last_batch
        left_s = max(0.0, ends - self._fleet.loop.now)
        return {job_class: ran_s - shares.get(job_class, 0.0) * left_s for job_class, ran_s in self._ran_s.items()}

    def retire(self, ended: Callable[[], None]) -> None:
        """Take no more jobs, and call `ended` as soon as none is held."""
        self._ended = ended
        if self._listening:
            self._listening = False
            self._fleet.forget(self._hear)
        self._end_if_done()

    def wake(self) -> None:
        """Take jobs while there is room, and start a batch."""
        self._fill()
        while not self._running and self._start():
            # Pairs that run or were dropped no longer wait, so there may be room.
            self._fill()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ended is not None and not self._running and not self._held:
            ended, self._ended = self._ended, None
            ended()

    def _fill(self) -> None:
        while self._ended is None and not self._listening and self._has_room():
            job = self._fleet.take()
            if job is None:
                self._listening = True
                self._fleet.listen(self._hear)
                return
            self._accept(job)

    def _hear(self) -> None:
        self._listening = False
        self.wake()

    def _ask(self, _: None) -> None:
        """While full, take one job that is more urgent than all jobs held, before a batch ends."""
        fleet, now = self._fleet, self._fleet.loop.now
        # Left out: a real process also asks an empty queue, and then pauses as after any other ask.
        if self._ended is not None or not fleet.queue.waiting or self._is_full():
            return
        if not self._ask_pace.is_due(now) or self._has_room():
            return
        self._ask_pace.asked(now)
        # As in the gate: a job whose pairs all run is about to end.
        first = first_due((job.call.request.job_class, job.due_at) for job in self._jobs.values())
        before = must_beat(first, interactive_queued=lambda: fleet.queue.waits("interactive"))
        if before is not None and (urgent := fleet.take(before)) is not None:
            self._accept(urgent)

    def _has_room(self) -> bool:
        fleet = self._fleet
        if self._is_full():
            return False
        return not fleet.policy.gate or fleet.backpressure.open(self._batcher.waiting, 0)

    def _is_full(self) -> bool:
        return len(self._held) >= self._fleet.spec.concurrency

    def _accept(self, job: Job) -> None:
        loop, now, request = self._fleet.loop, self._fleet.loop.now, job.call.request
        due = self._due_at(job)
        if self._fleet.policy.refuse and self._estimate(job, due).hopeless(partial=request.partial):
            job.refused = True
            self._fleet.answer(job)
            return
        self._held.add(job)
        for length in job.lengths:
            self._sequence += 1
            digest = self._sequence.to_bytes(8, "big")
            self._jobs[digest] = job
            self._batcher.add(WaitingPair(digest, length, due, job.deadline, now, self._sequence, request.job_class))
        loop.at(job.deadline, self._answer, job)

    def _estimate(self, job: Job, due: float) -> AdmissionEstimate:
        now = self._fleet.loop.now
        busy_until = next((until for begins, until in reversed(self._busy) if begins <= now), now)
        return self._batcher.estimate(
            job.lengths,
            job.call.request.job_class,
            due,
            running_s=max(0.0, busy_until - now),
            left_s=job.deadline - now,
        )

    def _due_at(self, job: Job) -> float:
        """Return a job's urgency in this process; in order edf its age starts at 0 here, as in the scorer."""
        fleet = self._fleet
        if fleet.policy.order != "edf":
            return job.due_at
        return due_at(deadline_at=job.deadline, entered_at=fleet.loop.now, aging_s=fleet.spec.aging_s)

    def _start(self) -> bool:
        """Begin the next batch and return whether there was one, even if all its pairs are no longer wanted."""
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
        """Compute the course of a batch and return its end. Pairs no longer wanted are dropped before their run."""
        fleet, at = self._fleet, self._fleet.loop.now
        begun, last_at = at, at
        wanted = [pair for pair in self._claim(batch) if _is_wanted(pair, at)]
        busy: list[tuple[float, float]] = []
        for run in batch_runs(wanted, self._split, self._run_s, joins=fleet.spec.shape.joins):
            busy.append((at, at + run.left_s))
            if run.is_last:
                last_at = at
            if pairs := [pair for pair in run.pairs if _is_wanted(pair, at)]:
                slowness = sum(job.call.request.slowness for _, job in pairs) / len(pairs)
                at += self._run_s(pairs) * slowness
                for tokens, job in pairs:
                    self._score(job, tokens, at)
        # As in the scorer, a batch without a run leaves the last prediction unchanged.
        self._busy = busy or self._busy
        self._count(wanted, begun, at)
        if at > begun:
            fleet.loop.at(last_at, self._ask, None)
        return at

    def _count(self, pairs: Sequence[_Pair], begun: float, ended: float) -> None:
        self._fleet.meter.ran(begun, ended)
        tokens = dict.fromkeys(JOB_CLASSES, 0)
        for length, job in pairs:
            tokens[job.call.request.job_class] += length
        every = sum(tokens.values()) or 1
        shares = {job_class: mine / every for job_class, mine in tokens.items()}
        self._last_batch = ended, shares
        for job_class, share in shares.items():
            self._ran_s[job_class] += share * (ended - begun)

    def _split(self, pairs: Sequence[_Pair]) -> list[range]:
        return self._fleet.spec.shape.split([tokens for tokens, _ in pairs])

    def _run_s(self, pairs: Sequence[_Pair]) -> float:
        return self._fleet.run_s([tokens for tokens, _ in pairs])

    def _claim(self, batch: Batch) -> Iterator[_Pair]:
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
        """Answer a job that is done or has reached its deadline."""
        if not job.answered:
            self._held.discard(job)
            self._fleet.answer(job)
            self.wake()


def _is_wanted(pair: _Pair, at: float) -> bool:
    return at < pair[1].deadline and not pair[1].answered
