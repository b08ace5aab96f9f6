"""Scoring thread: takes batches from the lanes, runs them, and gives each pair's score to all jobs that want the pair.

There is a lane for each model of the process, and one batch runs at a time. Lanes come and go between batches. A pair
that several jobs want runs once. A pair that no job wants any more (deadline passed, revoked, caller gone, process
draining) is dropped just before its run. A failing pair fails only its own jobs. The cost model of a lane learns from
every run.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import reduce

from rerank_shared.keys import JobClass
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.fairness import TenantShare
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.tracing.spans import NO_SPAN, Span
from rerank_worker import metrics
from rerank_worker.batching.batch_span import batch_span
from rerank_worker.batching.batcher import Batch, Waiting, WaitingPair
from rerank_worker.batching.busy import BusySeconds
from rerank_worker.batching.lane import Lane, Run, most_pairs
from rerank_worker.batching.lane_order import LaneBatch, ahead_elsewhere_s, next_batch
from rerank_worker.batching.pending_job import PendingJob
from rerank_worker.batching.rate import BatchSize
from rerank_worker.scorers import Encoded

log = logging.getLogger(__name__)


class ScoringThread:
    """Owns the lanes and the pending jobs of one worker process."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        revoked: Callable[[str], bool],
        aging_s: float = 10.0,
        queue_of: Callable[[JobClass], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lanes`: at least one; a job goes to the first unless its submitter says otherwise."""
        self.clock = clock
        #: Called by the scoring thread when less work waits than before. The lock is held: it must not block or raise.
        self.on_less: Callable[[], None] = _nothing
        #: Called by the scoring thread before the last run of a batch: it must not block or raise.
        self.on_ending: Callable[[], None] = _nothing
        #: The average pairs of recent batches. Any thread may read it.
        self.batch_size = BatchSize()
        #: The seconds of all runs, by class. Any thread may read them.
        self.busy = BusySeconds()
        self._lanes = tuple(lanes)
        self._batchers = [lane.batcher for lane in lanes]
        self._leaving: list[Lane] = []
        #: What the models with weights have had.
        self._served = TenantShare()
        self._aging_s = aging_s
        self._queue_of = queue_of
        self._revoked = revoked
        self._lock = threading.Lock()
        self._added = threading.Condition(self._lock)
        self._left = threading.Condition(self._lock)
        self._open: dict[int, PendingJob] = {}
        self._sequence = 0
        self._draining = False
        self._last_finished = -math.inf
        #: The predicted end of the current batch, on `clock`; past where none runs.
        self._busy_until = -math.inf
        self._thread = threading.Thread(target=self._loop, name="scoring", daemon=True)

    def start(self) -> None:
        """Start the scoring thread."""
        self._thread.start()

    def submit(
        self,
        job_id: str,
        digests: Sequence[bytes],
        pairs: Sequence[Encoded],
        deadline: float,
        reply_to: str | None,
        *,
        lane: Lane | None = None,
        job_class: JobClass = "interactive",
        admit: Callable[[AdmissionEstimate], None] | None = None,
        span: Span = NO_SPAN,
    ) -> PendingJob:
        """Add a job's pairs to its lane (None: the first one) and return the pending job.

        `deadline`: seconds on this thread's clock. `admit` gets the job's estimate first; if it raises, the error is
        raised here and no pair is added. While the thread drains, or without that lane, the job returns as dropped.
        """
        now = self.clock()
        lane = self._lanes[0] if lane is None else lane
        # Its age counts from now: the queue has ordered jobs by age and tenant already, and an older age would undo it.
        due = due_at(deadline_at=deadline, entered_at=now, aging_s=self._aging_s)
        pending = PendingJob(
            job_id=job_id,
            deadline=deadline,
            reply_to=reply_to,
            scores=[None] * len(pairs),
            digests=tuple(digests),
            entered=now,
            tokens=sum(pair.tokens for pair in pairs),
            span=span,
        )
        with self._lock:
            if self._draining or lane not in self._lanes or lane in self._leaving:
                pending.drop("drained")
                return pending
            if admit is not None and pairs:
                admit(self._estimate(lane, pairs, job_class, due, deadline - now))
            self._open[id(pending)] = pending
            for index, digest in enumerate(digests):
                pair = pairs[index]
                self._sequence += 1
                candidate = WaitingPair(digest, pair.tokens, due, deadline, now, self._sequence, job_class)
                lane.add(pending, index, candidate, pair)
            self._added.notify()
        return pending

    def release(self, pending: PendingJob) -> None:
        """End the wait for `pending`, whatever its state. An open job is dropped as expired; its scores stay in it."""
        with self._lock:
            pending.drop("expired")
            self._open.pop(id(pending), None)
        if pending.dropped is not None:
            metrics.JOBS_DROPPED.labels(pending.dropped).inc()

    def drain(self) -> None:
        """Finish the current batch, drop all other jobs as drained, and accept no more jobs."""
        with self._lock:
            self._draining = True
            self._added.notify()

    def add_lane(self, lane: Lane) -> None:
        """Take jobs for a further model from now on."""
        with self._lock:
            self._set_lanes((*self._lanes, lane))

    def remove_lane(self, lane: Lane) -> None:
        """Finish the current batch, drop all other jobs of the lane as drained, and forget it. Blocks until then."""
        with self._lock:
            self._leaving.append(lane)
            self._added.notify()
            self._left.wait_for(lambda: lane not in self._lanes)

    def _let_go(self) -> None:
        for lane in self._leaving:
            lane.drain()
        self._set_lanes([lane for lane in self._lanes if lane not in self._leaving])
        self._leaving.clear()
        self._left.notify_all()

    def _set_lanes(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            lane.batcher.most_pairs = most_pairs(lane.scorer.work, len(lanes))
        self._lanes, self._batchers = tuple(lanes), [lane.batcher for lane in lanes]

    @property
    def draining(self) -> bool:
        """Whether it accepts no more jobs."""
        return self._draining

    def held(self) -> tuple[int, int]:
        """Return the number of jobs held and the tokens of their pairs."""
        with self._lock:
            return len(self._open), sum(pending.tokens for pending in self._open.values())

    @property
    def waiting(self) -> Waiting:
        """The waiting work of all lanes, without the current batch. Any thread may read it without a lock."""
        return reduce(Waiting.__add__, (batcher.waiting for batcher in self._batchers))

    def waiting_jobs(self) -> set[str]:
        """Return the ids of the jobs with at least one pair that has not begun to run."""
        with self._lock:
            return {pending.job_id for pending in self._open.values() if pending.waits}

    def abandon(self, reply_channels: set[str]) -> None:
        """Drop the jobs of these reply channels as abandoned: their callers no longer subscribe."""
        with self._lock:
            for pending in self._open.values():
                if pending.reply_to in reply_channels:
                    pending.drop("abandoned")

    def reply_channels(self) -> set[str]:
        """Return the reply channels that open jobs wait on."""
        with self._lock:
            return {pending.reply_to for pending in self._open.values() if pending.reply_to is not None}

    def _estimate(
        self, lane: Lane, pairs: Sequence[Encoded], job_class: JobClass, due: float, left_s: float
    ) -> AdmissionEstimate:
        lengths = [pair.tokens for pair in pairs]
        others_s = ahead_elsewhere_s(self._batchers, lane.batcher, job_class, due, sum(lengths))
        running_s = max(0.0, self._busy_until - self.clock()) + others_s
        return lane.batcher.estimate(lengths, job_class, due, running_s=running_s, left_s=left_s)

    def _loop(self) -> None:
        while True:
            lane, batch = self._next_batch()
            try:
                self._run(lane, batch)
            except Exception as error:
                # Without this thread every job of the process would hang until its deadline, which may be an hour away.
                log.exception("batch failed, this is a bug pairs=%d", len(batch.candidates))
                with self._lock:
                    lane.give_up(batch.candidates, error)
            finally:
                # A batch may end early: runs are quicker than predicted, or nobody wants their pairs any more.
                self._busy_until = -math.inf

    def _next_batch(self) -> tuple[Lane, Batch]:
        with self._lock:
            while True:
                if self._draining:
                    for pending in self._open.values():
                        pending.drop("drained")
                if self._leaving:
                    self._let_go()
                decision = next_batch(self._batchers, self.clock(), self._served)
                self.on_less()
                if isinstance(decision, LaneBatch):
                    return self._lanes[decision.lane], decision.batch
                until = decision.until
                wait_s = None if until is None else min(max(0.0, until - self.clock()), threading.TIMEOUT_MAX)
                self._added.wait(wait_s)

    def _run(self, lane: Lane, batch: Batch) -> None:
        if not (wanted := self._wanted(lane, batch.candidates)):
            return
        with batch_span(self._begin(lane, wanted), wanted, self._queue_of):
            self._run_wanted(lane, wanted)

    def _run_wanted(self, lane: Lane, wanted: Sequence[WaitingPair]) -> None:
        under_way: deque[Run] = deque()
        for run in lane.runs(wanted):
            self._busy_until = self.clock() + run.left_s
            if run.is_last:
                self.on_ending()
            # Checked again before each run: in a batch of many runs the last one starts much later than the first.
            if candidates := self._wanted(lane, run.pairs):
                under_way.append(lane.start(candidates, self.clock()))
            if len(under_way) == lane.scorer.runs_at_once:
                self._finish(lane, under_way.popleft())
        while under_way:
            self._finish(lane, under_way.popleft())

    def _wanted(self, lane: Lane, candidates: Sequence[WaitingPair]) -> list[WaitingPair]:
        now = self.clock()
        with self._lock:
            return lane.wanted(candidates, now, self._revoked)

    def _begin(self, lane: Lane, candidates: Sequence[WaitingPair]) -> Sequence[PendingJob]:
        """Record in the jobs of a batch that the batch runs, and return them."""
        self.batch_size.add(len(candidates))
        metrics.BATCH_PAIRS.observe(len(candidates))
        metrics.BATCH_TOKENS.observe(sum(candidate.tokens for candidate in candidates))
        now = self.clock()
        with self._lock:
            wanting = [pending for candidate in candidates for pending in lane.jobs(candidate.digest)]
            for pending in wanting:
                pending.begun += 1
            jobs = list({id(pending): pending for pending in wanting}.values())
            for pending in jobs:
                pending.batch_pairs.append(len(candidates))
                if pending.first_run_at is None:
                    pending.first_run_at = now
        return jobs

    def _finish(self, lane: Lane, run: Run) -> None:
        failed = self._deliver(lane, lane.scores(run))
        # Two runs may be under way at once: the time of the second begins when the first ends.
        since, self._last_finished = max(run.begun, self._last_finished), self.clock()
        seconds = self._last_finished - since
        self.busy.add(run.candidates, seconds)
        lane.learn(run, seconds, failed=failed)

    def _deliver(self, lane: Lane, found: Iterable[tuple[WaitingPair, float | Exception]]) -> bool:
        """Give each logit to the jobs that want its pair. Return whether a run failed."""
        scored = truncated = 0
        failed = False
        for candidate, logit in found:
            with self._lock:
                score = lane.settle(candidate, logit)
            if score is not None:
                scored, truncated = scored + 1, truncated + score.truncated
                continue
            failed = failed or isinstance(logit, Exception)
            metrics.PAIRS_FAILED.inc()
            log.error("pair failed tokens=%d error=%r", candidate.tokens, logit)
        metrics.PAIRS_RUN.inc(scored)
        metrics.PAIRS_TRUNCATED.inc(truncated)
        return failed


def _nothing() -> None:
    pass
