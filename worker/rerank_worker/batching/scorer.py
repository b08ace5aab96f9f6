"""Scorer: the thread that owns the engine. It takes batches from the batcher, runs them, and gives each pair's score to
all jobs that want the pair.

A pair that several jobs want runs once. A pair that no job wants any more (deadline passed, revoked, caller gone,
process draining) is dropped just before its run. A failing pair fails only its own jobs. The cost model learns from
every run.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rerank_shared.contract.messages import Score
from rerank_shared.errors import InternalError, ScoringFailed
from rerank_shared.keys import JobClass
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.tracing.spans import NO_SPAN, Span
from rerank_worker import metrics
from rerank_worker.batching.batch_runs import batch_runs
from rerank_worker.batching.batch_span import batch_span
from rerank_worker.batching.batcher import Batch, Batcher, WaitingPair
from rerank_worker.batching.bisect import score_bisected
from rerank_worker.batching.busy import BusySeconds
from rerank_worker.batching.pending_job import PendingJob
from rerank_worker.batching.rate import BatchSize
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import Engine, joins_runs, runs_at_once, starter
from rerank_worker.tokenizing import EncodedPair

log = logging.getLogger(__name__)
Wanting = list[tuple[PendingJob, int]]


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that has begun; `logits` blocks until it ends."""

    candidates: Sequence[WaitingPair]
    begun: float
    logits: Callable[[], npt.NDArray[np.float32]]


class Scorer:
    """Owns the engine, the batcher and the pending jobs of one worker process."""

    def __init__(
        self,
        engine: Engine,
        batcher: Batcher,
        run_cost: RunCost,
        *,
        revoked: Callable[[str], bool],
        aging_s: float = 10.0,
        queue_of: Callable[[JobClass], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        #: Called by the scoring thread when less work waits than before. The lock is held: it must not block or raise.
        self.on_less: Callable[[], None] = _nothing
        #: Called by the scoring thread before the last run of a batch: it must not block or raise.
        self.on_ending: Callable[[], None] = _nothing
        #: The average pairs of recent batches. Any thread may read it.
        self.batch_size = BatchSize()
        #: The seconds of all runs, by class. Any thread may read them.
        self.busy = BusySeconds()
        self._engine = engine
        self._start_run = starter(engine)
        self._runs_at_once = runs_at_once(engine)
        self._joins_runs = joins_runs(engine)
        self._batcher = batcher
        self._run_cost = run_cost
        self._aging_s = aging_s
        self._queue_of = queue_of
        self._revoked = revoked
        self._lock = threading.Lock()
        self._added = threading.Condition(self._lock)
        self._pairs: dict[bytes, EncodedPair] = {}
        self._wanting: dict[bytes, Wanting] = {}
        self._open: dict[int, PendingJob] = {}
        self._sequence = 0
        self._draining = False
        self._last_finished = -math.inf
        #: The predicted end of the current batch, on `clock`; past where none runs.
        self._busy_until = -math.inf
        self._thread = threading.Thread(target=self._loop, name="scorer", daemon=True)

    def start(self) -> None:
        """Start the scoring thread."""
        self._thread.start()

    def submit(
        self,
        job_id: str,
        digests: Sequence[bytes],
        pairs: Sequence[EncodedPair],
        deadline: float,
        reply_to: str | None,
        *,
        job_class: JobClass = "interactive",
        admit: Callable[[AdmissionEstimate], None] | None = None,
        span: Span = NO_SPAN,
    ) -> PendingJob:
        """Add a job's pairs to the batcher and return the pending job.

        `deadline`: seconds on this scorer's clock. `admit` gets the job's estimate first; if it raises, the error is
        raised here and no pair is added. While the scorer drains, the job returns as dropped.
        """
        now = self.clock()
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
            if self._draining:
                pending.drop("drained")
                return pending
            if admit is not None and pairs:
                admit(self._estimate(pairs, job_class, due, deadline - now))
            self._open[id(pending)] = pending
            for index, digest in enumerate(digests):
                self._add(pending, index, digest, pairs[index], due, job_class)
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

    @property
    def draining(self) -> bool:
        """Whether the scorer accepts no more jobs."""
        return self._draining

    def held(self) -> tuple[int, int]:
        """Return the number of jobs held and the tokens of their pairs."""
        with self._lock:
            return len(self._open), sum(pending.tokens for pending in self._open.values())

    @property
    def waiting(self) -> Work:
        """The waiting work, without the current batch. Needs no lock: it is one reference, replaced as a whole."""
        return self._batcher.work

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
        self, pairs: Sequence[EncodedPair], job_class: JobClass, due: float, left_s: float
    ) -> AdmissionEstimate:
        running_s = max(0.0, self._busy_until - self.clock())
        lengths = [pair.tokens for pair in pairs]
        return self._batcher.estimate(lengths, job_class, due, running_s=running_s, left_s=left_s)

    def _add(
        self, pending: PendingJob, index: int, digest: bytes, pair: EncodedPair, due_at: float, job_class: JobClass
    ) -> None:
        wanting = self._wanting.setdefault(digest, [])
        if wanting:
            metrics.PAIRS_JOINED.inc()
        wanting.append((pending, index))
        self._pairs.setdefault(digest, pair)
        self._sequence += 1
        candidate = WaitingPair(
            digest, pair.tokens, due_at, pending.deadline, pending.entered, self._sequence, job_class
        )
        self._batcher.add(candidate)

    def _loop(self) -> None:
        while True:
            batch = self._next_batch()
            try:
                self._run(batch)
            except Exception as error:
                # Without this thread every job of the process would hang until its deadline, which may be an hour away.
                log.exception("batch failed, this is a bug pairs=%d", len(batch.candidates))
                self._give_up(batch, error)
            finally:
                # A batch may end early: runs are quicker than predicted, or nobody wants their pairs any more.
                self._busy_until = -math.inf

    def _next_batch(self) -> Batch:
        with self._lock:
            while True:
                if self._draining:
                    for pending in self._open.values():
                        pending.drop("drained")
                decision = self._batcher.next(self.clock())
                self.on_less()
                if isinstance(decision, Batch):
                    return decision
                until = decision.until
                wait_s = None if until is None else min(max(0.0, until - self.clock()), threading.TIMEOUT_MAX)
                self._added.wait(wait_s)

    def _run(self, batch: Batch) -> None:
        if not (wanted := self._wanted(batch.candidates)):
            return
        with batch_span(self._begin(wanted), wanted, self._queue_of):
            self._run_wanted(wanted)

    def _run_wanted(self, wanted: Sequence[WaitingPair]) -> None:
        under_way: deque[_Run] = deque()
        for run in batch_runs(wanted, self._split, self._run_s, joins=self._joins_runs):
            self._busy_until = self.clock() + run.left_s
            if run.is_last:
                self.on_ending()
            # Checked again before each run: in a batch of many runs the last one starts much later than the first.
            if candidates := self._wanted(run.pairs):
                under_way.append(self._start(candidates))
            if len(under_way) == self._runs_at_once:
                self._finish(under_way.popleft())
        while under_way:
            self._finish(under_way.popleft())

    def _split(self, candidates: Sequence[WaitingPair]) -> list[range]:
        return self._engine.runs([self._pairs[candidate.digest] for candidate in candidates])

    def _run_s(self, candidates: Sequence[WaitingPair]) -> float:
        return self._run_cost.predict_s([candidate.tokens for candidate in candidates])

    def _wanted(self, candidates: Sequence[WaitingPair]) -> list[WaitingPair]:
        """Return the pairs that an open job wants; forget those that none does."""
        now = self.clock()
        with self._lock:
            return [candidate for candidate in candidates if self._is_wanted(candidate, now)]

    def _is_wanted(self, candidate: WaitingPair, now: float) -> bool:
        wanted = False
        for pending, _ in self._wanting.get(candidate.digest, []):
            if now >= pending.deadline:
                pending.drop("expired")
            elif self._revoked(pending.job_id):
                pending.drop("revoked")
            wanted = wanted or pending.open
        if not wanted:
            self._forget(candidate.digest)
        return wanted

    def _give_up(self, batch: Batch, error: Exception) -> None:
        """Fail the jobs of a batch that raised outside its runs."""
        message = f"a batch broke in the worker, which is a bug: {error!r}"
        with self._lock:
            for candidate in batch.candidates:
                for pending, _ in self._wanting.get(candidate.digest, []):
                    pending.fail(InternalError(message))
                self._forget(candidate.digest)

    def _forget(self, digest: bytes) -> None:
        self._wanting.pop(digest, None)
        self._pairs.pop(digest, None)
        # An equal pair may have been added while this one ran. This run has answered both.
        self._batcher.discard(digest)

    def _begin(self, candidates: Sequence[WaitingPair]) -> Sequence[PendingJob]:
        """Record in the jobs of a batch that the batch runs, and return them."""
        self.batch_size.add(len(candidates))
        metrics.BATCH_PAIRS.observe(len(candidates))
        metrics.BATCH_TOKENS.observe(sum(candidate.tokens for candidate in candidates))
        now = self.clock()
        with self._lock:
            wanting = [pending for c in candidates for pending, _ in self._wanting[c.digest]]
            for pending in wanting:
                pending.begun += 1
            jobs = list({id(pending): pending for pending in wanting}.values())
            for pending in jobs:
                pending.batch_pairs.append(len(candidates))
                if pending.first_run_at is None:
                    pending.first_run_at = now
        return jobs

    def _start(self, candidates: Sequence[WaitingPair]) -> _Run:
        begun = self.clock()
        return _Run(candidates, begun, self._start_run([self._pairs[c.digest] for c in candidates]))

    def _finish(self, run: _Run) -> None:
        def score(part: Sequence[WaitingPair]) -> Sequence[float]:
            whole = part is run.candidates
            found = run.logits() if whole else self._engine.score([self._pairs[c.digest] for c in part])
            logits: Sequence[float] = found.tolist()
            return logits

        failed = self._deliver(score_bisected(score, run.candidates))
        # Two runs may be under way at once: the time of the second begins when the first ends.
        since, self._last_finished = max(run.begun, self._last_finished), self.clock()
        self.busy.add(run.candidates, self._last_finished - since)
        lengths = [candidate.tokens for candidate in run.candidates]
        metrics.TOKENS_RUN.inc(sum(lengths))
        if self._run_cost.shape.layout == "padded":
            metrics.PADDING_RUN.inc(max(lengths) * len(lengths) - sum(lengths))
        if failed:
            # The run was bisected, so some pairs ran more than once and its time says nothing.
            return
        if (error := self._run_cost.observe(lengths, self._last_finished - since)) is not None:
            metrics.COST_ERROR.observe(error)

    def _deliver(self, found: Iterable[tuple[WaitingPair, float | Exception]]) -> bool:
        """Give each logit to the jobs that want its pair. Return whether a run failed."""
        scored = truncated = 0
        failed = False
        for candidate, logit in found:
            with self._lock:
                wanting, pair = self._wanting[candidate.digest], self._pairs[candidate.digest]
                self._forget(candidate.digest)
                if isinstance(logit, float) and math.isfinite(logit):
                    score = Score(logit, pair.tokens, pair.truncated)
                    for pending, index in wanting:
                        pending.resolve(index, score)
                    scored, truncated = scored + 1, truncated + pair.truncated
                    continue
                for pending, index in wanting:
                    pending.fail(_failure(index, logit))
            failed = failed or isinstance(logit, Exception)
            metrics.PAIRS_FAILED.inc()
            log.error("pair failed tokens=%d error=%r", pair.tokens, logit)
        metrics.PAIRS_RUN.inc(scored)
        metrics.PAIRS_TRUNCATED.inc(truncated)
        return failed


def _nothing() -> None:
    pass


def _failure(index: int, logit: float | Exception) -> ScoringFailed:
    if isinstance(logit, float):
        return ScoringFailed(f"the model gave {logit} for document {index} of the job's documents")
    return ScoringFailed(f"the model failed on document {index} of the job's documents: {logit}")
