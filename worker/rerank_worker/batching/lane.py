"""Lane: what belongs to one model in the scoring thread: scorer, batcher, cost of runs, and the pairs with their jobs.

A pair that several jobs want stands here once. A digest holds the scoring identity, so it is in one lane only.
Not thread-safe: the scoring thread locks. It calls `runs`, `start`, `scores` and `learn` itself, without its lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_shared.contract.messages import Score
from rerank_shared.errors import InternalError, ScoringFailed
from rerank_worker import metrics
from rerank_worker.batching.batch_runs import BatchRun, batch_runs
from rerank_worker.batching.batcher import Batcher, WaitingPair
from rerank_worker.batching.bisect import score_bisected
from rerank_worker.batching.pending_job import PendingJob
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.scorers import Encoded, RunWork, Scorer


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun; `logits` blocks until it ends."""

    candidates: Sequence[WaitingPair]
    begun: float
    logits: Callable[[], npt.NDArray[np.float32]]


def most_pairs(work: RunWork, models: int) -> int | None:
    """Return the cap on the pairs of a batch, in a process that serves so many models.

    Where there are several, a batch whose pairs gain nothing by company is brief, or is one pair: an urgent pair of a
    fast model waits no longer for a slow one.
    """
    return 1 if work.batch_pairs is not None and models > 1 else work.batch_pairs


class Lane:
    """One model's scorer, batcher, cost and pairs."""

    def __init__(self, scorer: Scorer[Any], batcher: Batcher, run_cost: RunCost) -> None:
        self.scorer = scorer
        self.batcher = batcher
        self.run_cost = run_cost
        self._pairs: dict[bytes, Encoded] = {}
        self._wanting: dict[bytes, list[tuple[PendingJob, int]]] = {}

    def add(self, pending: PendingJob, index: int, candidate: WaitingPair, pair: Encoded) -> None:
        """Add the pair `index` of a job."""
        wanting = self._wanting.setdefault(candidate.digest, [])
        if wanting:
            metrics.PAIRS_JOINED.inc()
        wanting.append((pending, index))
        self._pairs.setdefault(candidate.digest, pair)
        self.batcher.add(candidate)

    def jobs(self, digest: bytes) -> list[PendingJob]:
        """Return the jobs that want a pair; none where it is forgotten."""
        return [pending for pending, _ in self._wanting.get(digest, [])]

    def wanted(
        self, candidates: Sequence[WaitingPair], now: float, revoked: Callable[[str], bool]
    ) -> list[WaitingPair]:
        """Return the pairs that an open job wants; forget those that none does.

        Jobs whose deadline has passed, or that are revoked, are dropped first.
        """
        return [candidate for candidate in candidates if self._is_wanted(candidate, now, revoked)]

    def _is_wanted(self, candidate: WaitingPair, now: float, revoked: Callable[[str], bool]) -> bool:
        wanted = False
        for pending in self.jobs(candidate.digest):
            if now >= pending.deadline:
                pending.drop("expired")
            elif revoked(pending.job_id):
                pending.drop("revoked")
            wanted = wanted or pending.open
        if not wanted:
            self._forget(candidate.digest)
        return wanted

    def drain(self) -> None:
        """Drop all open jobs as drained, and forget their pairs."""
        for wanting in self._wanting.values():
            for pending, _ in wanting:
                pending.drop("drained")
        for digest in list(self._wanting):
            self._forget(digest)

    def give_up(self, candidates: Sequence[WaitingPair], error: Exception) -> None:
        """Fail the jobs of a batch that raised outside its runs, and forget its pairs."""
        message = f"a batch broke in the worker, which is a bug: {error!r}"
        for candidate in candidates:
            for pending in self.jobs(candidate.digest):
                pending.fail(InternalError(message))
            self._forget(candidate.digest)

    def settle(self, candidate: WaitingPair, logit: float | Exception) -> Score | None:
        """Give a pair's logit to all jobs that want it, and forget the pair.

        Return the score; None where the logit is none, and the jobs have failed.
        """
        wanting, pair = self._wanting[candidate.digest], self._pairs[candidate.digest]
        self._forget(candidate.digest)
        if not isinstance(logit, float) or not math.isfinite(logit):
            for pending, index in wanting:
                pending.fail(_failure(index, logit))
            return None
        score = Score(logit, pair.tokens, pair.truncated)
        for pending, index in wanting:
            pending.resolve(index, score)
        return score

    def _forget(self, digest: bytes) -> None:
        self._wanting.pop(digest, None)
        self._pairs.pop(digest, None)
        # An equal pair may have been added while this one ran. This run has answered both.
        self.batcher.discard(digest)

    def runs(self, wanted: Sequence[WaitingPair]) -> list[BatchRun[WaitingPair]]:
        """Return the runs of a batch of these pairs, in order."""
        return batch_runs(wanted, self._split, self._run_s, joins=self.scorer.joins_runs)

    def _split(self, candidates: Sequence[WaitingPair]) -> list[range]:
        return self.scorer.runs(self._encoded(candidates))

    def _run_s(self, candidates: Sequence[WaitingPair]) -> float:
        return self.run_cost.predict_s([candidate.tokens for candidate in candidates])

    def start(self, candidates: Sequence[WaitingPair], begun: float) -> Run:
        """Begin a run at `begun`."""
        return Run(candidates, begun, self.scorer.start(self._encoded(candidates)))

    def scores(self, run: Run) -> Iterator[tuple[WaitingPair, float | Exception]]:
        """Wait for a run and return each pair's logit; the error of a pair that fails alone."""

        def score(part: Sequence[WaitingPair]) -> Sequence[float]:
            whole = part is run.candidates
            found = run.logits() if whole else self.scorer.score(self._encoded(part))
            logits: Sequence[float] = found.tolist()
            return logits

        return score_bisected(score, run.candidates)

    def _encoded(self, candidates: Sequence[WaitingPair]) -> list[Encoded]:
        return [self._pairs[candidate.digest] for candidate in candidates]

    def learn(self, run: Run, seconds: float, *, failed: bool) -> None:
        """Count a run that took so long, and learn its cost.

        A run that failed was bisected: some of its pairs ran more than once, and its time says nothing.
        """
        lengths = [candidate.tokens for candidate in run.candidates]
        metrics.TOKENS_RUN.inc(sum(lengths))
        if padding := self.scorer.work.padding(lengths):
            metrics.PADDING_RUN.inc(padding)
        if not failed and (error := self.run_cost.observe(lengths, seconds)) is not None:
            metrics.COST_ERROR.observe(error)


def _failure(index: int, logit: float | Exception) -> ScoringFailed:
    if isinstance(logit, float):
        return ScoringFailed(f"the model gave {logit} for document {index} of the job's documents")
    return ScoringFailed(f"the model failed on document {index} of the job's documents: {logit}")
