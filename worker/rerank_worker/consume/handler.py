"""Job handler: checks a job, fetches its text, encodes its pairs, waits for their scores, and returns the outcome.

Runs in a pool thread. A failure is raised as a RerankError, which the result backend sends to the caller. The outcome
is sent a little before the deadline, so that the caller has it in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from rerank_shared.contract import wire
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Job, Outcome, Score, ScoringIdentity, Stages
from rerank_shared.contract.token_ids import Content, refuse_foreign, refuse_undeclared
from rerank_shared.errors import (
    DeadlineExceeded,
    DeadlineTooShort,
    InvalidRequest,
    JobLost,
    JobRevoked,
    Overloaded,
)
from rerank_shared.keys import Keys
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.urgency import answer_by
from rerank_shared.tracing.spans import current_span
from rerank_worker import metrics
from rerank_worker.batching.pending_job import PendingJob
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.job_span import tell_stages
from rerank_worker.consume.served import ServedModel, ServedModels


class Drained(Exception):
    """This process stops before the job was scored, or has unloaded its model; the job goes back to the queue."""


class Abandoned(Exception):
    """The caller of the job is gone. The job gets no record, so a caller that was only cut off may send it again."""


@dataclass(frozen=True, slots=True)
class ScoredJob:
    """An outcome with the scores by digest, for the cache."""

    outcome: Outcome
    scores: dict[bytes, Score]


@dataclass(frozen=True, slots=True)
class JobHandler:
    """Answers the jobs of one worker process. `refuse`: refuse jobs that would miss their deadline."""

    models: ServedModels
    scoring: ScoringThread
    client: redis.Redis
    keys: Keys
    worker: str
    refuse: bool = True
    wall_clock: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic

    def answer(
        self, job: Job, reply_to: str | None, on_waiting: Callable[[], None] = lambda: None, *, pool: str = ""
    ) -> ScoredJob:
        """Return the job's outcome; a score is None where the deadline passed first.

        `on_waiting` is called when the job's pairs are in the batcher. `pool` is that whose queue the job was taken
        from, '' for the common queue.
        Raises Drained or Abandoned, or a RerankError: UnknownModel, InvalidRequest, Overloaded, DeadlineTooShort,
        DeadlineExceeded (nothing was scored in time), JobRevoked, JobLost, ScoringFailed.
        """
        arrived = self.clock()
        left_s = job.deadline_at - self.wall_clock()
        if left_s <= 0:
            metrics.JOBS_DROPPED.labels("expired").inc()
            raise DeadlineExceeded(f"job {job.job_id} reached a worker {-left_s * 1000:.0f} ms after its deadline")
        if pool and pool not in self.models.pools:
            raise Drained
        model = self.models.named(job.model, pool)
        max_length = _checked_length(job, model)
        documents = self._documents(job)
        if job.tokenizer_digest is None:
            refuse_undeclared(documents)
        digests = pair_digests(model.identity, max_length, job.query, documents, cache_tenant=job.cache_tenant)
        pairs = model.scorer.encode(job.query, documents, max_length)
        tokenized = self.clock()
        deadline = answer_by(arrived + left_s, len(pairs))
        pending = self.scoring.submit(
            job.job_id,
            digests,
            pairs,
            deadline,
            reply_to,
            lane=model.lane,
            job_class=job.job_class,
            admit=partial(_admit, job) if self.refuse else None,
            span=current_span(),
        )
        on_waiting()
        pending.wait(deadline - self.clock())
        self.scoring.release(pending)
        self._raise_if_unanswered(pending)
        return self._answer(job, model.identity, pending, arrived, tokenized)

    def _answer(
        self, job: Job, identity: ScoringIdentity, pending: PendingJob, arrived: float, tokenized: float
    ) -> ScoredJob:
        now = self.clock()
        first_run_at = pending.first_run_at or now
        stages = Stages(
            queue_ms=max(0.0, (self.wall_clock() - job.enqueued_at - (now - arrived)) * 1000),
            tokenize_ms=(tokenized - arrived) * 1000,
            batch_ms=(first_run_at - tokenized) * 1000,
            run_ms=(now - first_run_at) * 1000,
        )
        outcome = Outcome(
            job_id=job.job_id,
            scores=tuple(pending.scores),
            identity=identity,
            worker=self.worker,
            stages=stages,
            batch_pairs=tuple(pending.batch_pairs),
        )
        tell_stages(current_span(), outcome, {"tokenize": tokenized, "wait": first_run_at, "run": now}, arrived)
        scored = zip(pending.digests, pending.scores, strict=True)
        return ScoredJob(outcome, {digest: score for digest, score in scored if score is not None})

    def _documents(self, job: Job) -> tuple[Content, ...]:
        if job.documents is not None:
            return job.documents
        data: Any = self.client.get(self.keys.text(job.job_id))
        if data is None:
            raise JobLost(f"the text of job {job.job_id} is gone: it expired or was evicted before a worker read it")
        return wire.decode_texts(data)

    def _raise_if_unanswered(self, pending: PendingJob) -> None:
        if pending.error is not None:
            raise pending.error
        if pending.dropped == "drained":
            raise Drained
        if pending.dropped == "abandoned":
            raise Abandoned
        if pending.dropped == "revoked":
            raise JobRevoked(f"job {pending.job_id} was cancelled before it was scored")
        if pending.dropped == "expired" and pending.unscored == len(pending.scores):
            raise DeadlineExceeded(f"no document of job {pending.job_id} was scored before its deadline")


def _checked_length(job: Job, model: ServedModel) -> int:
    """Return what the job's pairs are cut to. Raises InvalidRequest where the model can't take them.

    A job that was planned for another pool is cut as this one's model needs: its client, which may not have named a
    length at all, could not know that the model would change on the way.
    """
    identity = model.identity
    if job.tokenizer_digest is not None:
        refuse_foreign(job.tokenizer_digest, identity.tokenizer_digest, job.model)
    if job.max_length is None:
        return identity.max_length
    if job.max_length > identity.max_length and job.pool in ("", model.pool):
        raise InvalidRequest(
            f"max_length: {job.max_length} is beyond the {identity.max_length} tokens of {job.model!r}"
        )
    return min(job.max_length, identity.max_length)


def _admit(job: Job, estimate: AdmissionEstimate) -> None:
    """Refuse a job that would miss its deadline.

    Raises DeadlineTooShort if even an idle process could not score it in time, and Overloaded if this process can't.
    """
    if estimate.hopeless(partial=job.partial):
        metrics.JOBS_DROPPED.labels("refused").inc()
        if not job.partial and estimate.too_much:
            raise DeadlineTooShort(
                f"refused: job {job.job_id} needs {estimate.run_s:.2f} s, with {estimate.left_s:.2f} s left to its "
                "deadline: send fewer documents, or allow a longer deadline_ms"
            )
        raise Overloaded(
            f"refused: job {job.job_id} met {estimate.wait_s:.2f} s of more urgent work in its worker and needs "
            f"{estimate.run_s:.2f} s, with {estimate.left_s:.2f} s left to its deadline. Retry after "
            f"{estimate.retry_after_s:.1f} s, start more workers, or allow a longer deadline_ms.",
            predicted_wait_ms=estimate.wait_s * 1000,
            retry_after_s=estimate.retry_after_s,
        )
