"""Worker process: takes jobs while its gate allows, and runs the batches that the real batcher forms.

Later events don't change a batch that has begun, so the end of each pair is computed at its begin. Only the ends of
jobs and of the batch are events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from math import inf

from rerank_ops.simulate.model.call import Job
from rerank_ops.simulate.model.fleet import Fleet, Meter
from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.fairness import ClassShare, TenantShare
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.scheduling.urgent_take import AskPace, first_due, must_beat
from rerank_worker.batching.batch_runs import batch_runs
from rerank_worker.batching.batcher import Batch, Batcher, Waiting, WaitingPair
from rerank_worker.batching.lane_order import LaneBatch, ahead_elsewhere_s, next_batch

#: A pair's tokens, and its job.
_Pair = tuple[int, Job]


class Process:
    """One process, which serves the models of one fleet or of several, each in a lane of its own."""

    __slots__ = (
        "_ask_pace",
        "_batchers",
        "_busy",
        "_ended",
        "_first_asked",
        "_fleets",
        "_held",
        "_jobs",
        "_last_batch",
        "_listening",
        "_loop",
        "_meter",
        "_ran_s",
        "_rings_at",
        "_running",
        "_sequence",
        "_served",
        "started_at",
    )

    def __init__(self, fleets: Sequence[Fleet], meter: Meter) -> None:
        self._fleets = tuple(fleets)
        self._meter = meter
        self._loop = fleets[0].loop
        self.started_at = self._loop.now
        share = ClassShare(fleets[0].bulk_share)
        self._batchers = [
            _batcher_of(fleet, share, str(lane), alone=len(fleets) == 1) for lane, fleet in enumerate(fleets)
        ]
        #: What each model has had, by its weight.
        self._served = TenantShare()
        #: The lane whose queue is asked first for the next job: they take turns.
        self._first_asked = 0
        self._jobs: dict[bytes, Job] = {}
        #: The jobs that it holds, with their lanes.
        self._held: dict[Job, int] = {}
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
        left_s = max(0.0, ends - self._loop.now)
        return {job_class: ran_s - shares.get(job_class, 0.0) * left_s for job_class, ran_s in self._ran_s.items()}

    def retire(self, ended: Callable[[], None]) -> None:
        """Take no more jobs, and call `ended` as soon as none is held."""
        self._ended = ended
        if self._listening:
            self._stop_listening()
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
            if not self._take(inf):
                self._listening = True
                for fleet in self._fleets:
                    fleet.listen(self._hear)
                return

    def _take(self, before: float) -> bool:
        """Take a job that is due earlier, and return whether there was one."""
        count = len(self._fleets)
        for turn in range(count):
            lane = (self._first_asked + turn) % count
            if (job := self._fleets[lane].take(before)) is not None:
                self._first_asked = (lane + 1) % count
                self._accept(job, lane)
                return True
        return False

    def _hear(self) -> None:
        self._stop_listening()
        self.wake()

    def _stop_listening(self) -> None:
        self._listening = False
        for fleet in self._fleets:
            fleet.forget(self._hear)

    def _ask(self, _: None) -> None:
        """While full, take one job that is more urgent than all jobs held, before a batch ends."""
        fleets, now = self._fleets, self._loop.now
        # Left out: a real process also asks an empty queue, and then pauses as after any other ask.
        if self._ended is not None or not any(fleet.queue.waiting for fleet in fleets) or self._is_full():
            return
        if not self._ask_pace.is_due(now) or self._has_room():
            return
        self._ask_pace.asked(now)
        # As in the gate: a job whose pairs all run is about to end.
        first = first_due((job.call.request.job_class, job.due_at) for job in self._jobs.values())
        before = must_beat(first, interactive_queued=lambda: any(fleet.queue.waits("interactive") for fleet in fleets))
        if before is not None:
            self._take(before)

    def _has_room(self) -> bool:
        fleet = self._fleets[0]
        if self._is_full():
            return False
        if not fleet.policy.gate:
            return True
        return fleet.backpressure.open(reduce(Waiting.__add__, (each.waiting for each in self._batchers)), 0)

    def _is_full(self) -> bool:
        return len(self._held) >= self._fleets[0].spec.concurrency

    def _accept(self, job: Job, lane: int) -> None:
        fleet, now, request = self._fleets[lane], self._loop.now, job.call.request
        due = self._due_at(job)
        if fleet.policy.refuse and self._estimate(job, lane, due).hopeless(partial=request.partial):
            job.refused = True
            fleet.answer(job)
            return
        self._held[job] = lane
        batcher = self._batchers[lane]
        for length in job.lengths:
            self._sequence += 1
            digest = self._sequence.to_bytes(8, "big")
            self._jobs[digest] = job
            batcher.add(WaitingPair(digest, length, due, job.deadline, now, self._sequence, request.job_class))
        self._loop.at(job.deadline, self._answer, job)

    def _estimate(self, job: Job, lane: int, due: float) -> AdmissionEstimate:
        now, job_class, mine = self._loop.now, job.call.request.job_class, self._batchers[lane]
        busy_until = next((until for begins, until in reversed(self._busy) if begins <= now), now)
        others_s = ahead_elsewhere_s(self._batchers, mine, job_class, due, job.tokens)
        return mine.estimate(
            job.lengths,
            job_class,
            due,
            running_s=max(0.0, busy_until - now) + others_s,
            left_s=job.deadline - now,
        )

    def _due_at(self, job: Job) -> float:
        """Return a job's urgency in this process; in order edf its age starts at 0 here, as in the scoring thread."""
        fleet = self._fleets[0]
        if fleet.policy.order != "edf":
            return job.due_at
        return due_at(deadline_at=job.deadline, entered_at=self._loop.now, aging_s=fleet.spec.aging_s)

    def _start(self) -> bool:
        """Begin the next batch and return whether there was one, even if all its pairs are no longer wanted."""
        loop = self._loop
        decision = next_batch(self._batchers, loop.now, self._served)
        if isinstance(decision, LaneBatch):
            ends = self._run(self._fleets[decision.lane], decision.batch)
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

    def _run(self, fleet: Fleet, batch: Batch) -> float:
        """Compute the course of a batch and return its end. Pairs no longer wanted are dropped before their run."""
        at = self._loop.now
        begun, last_at = at, at
        wanted = [pair for pair in self._claim(batch) if _is_wanted(pair, at)]
        busy: list[tuple[float, float]] = []
        for run in batch_runs(wanted, partial(_split, fleet), partial(_run_s, fleet), joins=fleet.spec.shape.joins):
            busy.append((at, at + run.left_s))
            if run.is_last:
                last_at = at
            if pairs := [pair for pair in run.pairs if _is_wanted(pair, at)]:
                slowness = sum(job.call.request.slowness for _, job in pairs) / len(pairs)
                at += _run_s(fleet, pairs) * slowness
                for tokens, job in pairs:
                    self._score(job, tokens, at)
        # As in the scoring thread, a batch without a run leaves the last prediction unchanged.
        self._busy = busy or self._busy
        self._count(wanted, begun, at)
        if at > begun:
            self._loop.at(last_at, self._ask, None)
        return at

    def _count(self, pairs: Sequence[_Pair], begun: float, ended: float) -> None:
        self._meter.ran(begun, ended)
        tokens = dict.fromkeys(JOB_CLASSES, 0)
        for length, job in pairs:
            tokens[job.call.request.job_class] += length
        every = sum(tokens.values()) or 1
        shares = {job_class: mine / every for job_class, mine in tokens.items()}
        self._last_batch = ended, shares
        for job_class, share in shares.items():
            self._ran_s[job_class] += share * (ended - begun)

    def _claim(self, batch: Batch) -> Iterator[_Pair]:
        for candidate in batch.candidates:
            yield candidate.tokens, self._jobs.pop(candidate.digest)

    def _score(self, job: Job, tokens: int, at: float) -> None:
        if at > job.deadline:
            return
        job.scored += 1
        self._meter.scored(tokens, at)
        if job.scored == len(job.lengths):
            self._loop.at(at, self._answer, job)

    def _answer(self, job: Job) -> None:
        """Answer a job that is done or has reached its deadline."""
        if not job.answered:
            self._fleets[self._held.pop(job)].answer(job)
            self.wake()


def _batcher_of(fleet: Fleet, share: ClassShare, name: str, *, alone: bool) -> Batcher:
    """Return the batcher of a lane, as a worker process makes it."""
    spec = fleet.spec
    return Batcher(
        budget_tokens=spec.budget_tokens,
        max_wait_s=spec.max_wait_s,
        predict_s=spec.cost.predict_s,
        layout=spec.shape.layout,
        work_of=fleet.pair_work,
        share=share,
        most_pairs=1 if spec.shape.joins and not alone else spec.shape.batch_pairs,
        name=name,
        weight=spec.weight,
    )


def _split(fleet: Fleet, pairs: Sequence[_Pair]) -> list[range]:
    return fleet.spec.shape.split([tokens for tokens, _ in pairs])


def _run_s(fleet: Fleet, pairs: Sequence[_Pair]) -> float:
    return fleet.run_s([tokens for tokens, _ in pairs])


def _is_wanted(pair: _Pair, at: float) -> bool:
    return at < pair[1].deadline and not pair[1].answered
