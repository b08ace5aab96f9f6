"""Shards: the misses of a request as one job, or as several where processes are idle and it pays. Pure.

Each document lies in exactly one shard. A request that could not be answered before its deadline is refused here,
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_producer._dispatch.fleet_load import FleetLoad, describe_workers
from rerank_producer._request.plan import RequestPlan, ttl_s
from rerank_shared.contract import wire
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.messages import Job
from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import DeadlineTooShort, Overloaded, RerankError
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import uncount
from rerank_shared.queue.job_queue import StoredValue
from rerank_shared.queue.lifetimes import end
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.sharding import shard_request
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.settings import Settings

#: The time between the end of a run and its answer here when nothing is wrong: the queue, the way back, a busy core.
_HAND_OFF_S = 0.1


@dataclass(frozen=True, slots=True)
class Shard:
    """One job of a request. A large text lies apart from the job, under its own key, for `ttl_s` seconds.

    `offsets` are the indexes of its documents among the misses of the request. `late_after_s` is the time from sending
    within which 99 of 100 answers come; None while the cost is unknown.
    """

    job: Job
    text: bytes | None
    ttl_s: int
    offsets: tuple[int, ...]
    late_after_s: float | None = None

    def stored_values(self, keys: Keys) -> list[StoredValue]:
        """Return the values that must be stored when a worker takes the job."""
        return [] if self.text is None else [StoredValue(keys.text(self.job.job_id), self.text, self.ttl_s * 1000)]

    def remove_from(self, pipe: Any, keys: Keys) -> None:
        """Queue on a Redis pipeline the removal of the job's text and backlog entry, for a job that was withdrawn."""
        if self.text is not None:
            end(pipe, keys, keys.text(self.job.job_id))
        uncount(pipe, keys, self.job)

    def next_attempt(self, pool: str) -> Shard:
        """Return the shard as its next attempt, for a pool."""
        return replace(self, job=replace(self.job, attempt=self.job.attempt + 1, pool=pool))

    def inline(self) -> Shard:
        """Return the shard with its text inside the job, however large: the text that lay apart was lost."""
        if self.text is None:
            return self
        return replace(self, job=replace(self.job, documents=wire.decode_texts(self.text)), text=None)


def make_shards(
    plan: RequestPlan,
    settings: Settings,
    now: float,
    load: FleetLoad,
    *,
    partial: bool,
    count: int | None = None,
) -> list[Shard]:
    """Return the shards of the misses; `now` is epoch seconds, and `count` overrides the number of shards.

    Raises Overloaded if the fleet can't answer before the deadline (with `partial`, not even in part), and
    DeadlineTooShort if an idle one could not either.
    """
    stored = plan.stored
    limit = plan.max_length or (None if stored.identity is None else stored.identity.max_length)
    lengths = estimate_lengths(plan.query, (plan.contents[index] for index in stored.misses), limit)
    due = due_at(deadline_at=stored.deadline_at, entered_at=now, aging_s=settings.aging_s)
    sharding = shard_request(
        lengths,
        run_s=load.run_s(Work.of(lengths)),
        processes=load.open_to(stored.job_class),
        left_s=stored.deadline_at - now,
        due_at=lambda _: due,
        wait_s=lambda urgency: load.wait_s(stored.job_class, urgency),
        count=count if settings.shard else count or 1,
    )
    parts, estimate = sharding.shards, sharding.estimate
    if settings.refuse and estimate.hopeless(partial=partial):
        raise _refusal(estimate, load.workers, partial=partial)
    maker = _ShardMaker(plan, settings, load, now, partial, due, estimate.wait_s)
    ids = [stored.job_id] if len(parts) == 1 else [f"{stored.job_id}-{number}" for number in range(len(parts))]
    return [maker.make(job_id, part, [lengths[i] for i in part]) for job_id, part in zip(ids, parts, strict=True)]


@dataclass(frozen=True, slots=True)
class _ShardMaker:
    """Makes the shards of one request from what they have in common."""

    plan: RequestPlan
    settings: Settings
    load: FleetLoad
    now: float
    partial: bool
    due_at: float
    wait_s: float

    def make(self, job_id: str, part: Sequence[int], lengths: Sequence[int]) -> Shard:
        plan, stored = self.plan, self.plan.stored
        documents = tuple(plan.contents[stored.misses[offset]] for offset in part)
        apart = sum(map(_bytes, documents)) > self.settings.inline_bytes
        job = Job(
            job_id=job_id,
            job_class=stored.job_class,
            model=stored.model,
            query=plan.query,
            documents=None if apart else documents,
            max_length=plan.max_length,
            enqueued_at=self.now,
            deadline_at=stored.deadline_at,
            tokens=sum(lengths),
            tokenizer_digest=plan.tokenizer_digest,
            tenant=plan.tenant,
            partial=self.partial,
            pairs=len(part),
            tokens_longest=sum(length * length for length in lengths),
            due_at=self.due_at,
            cache_scope=plan.cache_scope,
            pool=stored.pool,
        )
        life_s = max(0.0, stored.deadline_at - self.now) + self.settings.redelivery_s + self.settings.result_ttl_s
        text = wire.encode_texts(documents) if apart else None
        return Shard(job, text, ttl_s(life_s), tuple(part), self._late_after_s(Work.of(lengths)))

    def _late_after_s(self, work: Work) -> float | None:
        cost = self.load.cost
        return None if cost is None else _HAND_OFF_S + self.wait_s * cost.p99_ratio + cost.predict_p99_s(work)


def _refusal(estimate: AdmissionEstimate, workers: int, *, partial: bool) -> RerankError:
    if not partial and estimate.too_much:
        return DeadlineTooShort(
            f"refused: the request would run {estimate.run_s:.1f} s, and its deadline is {estimate.left_s:.1f} s away. "
            "Send fewer documents, allow a longer deadline, or take the partial answer that there is by then."
        )
    return Overloaded(
        f"refused: {describe_workers(workers)} with {estimate.wait_s:.1f} s of more urgent work each, so a request "
        f"that runs {estimate.run_s:.1f} s would miss its deadline of {estimate.left_s:.1f} s. Retry after "
        f"{estimate.retry_after_s:.1f} s, start more workers, or allow a longer deadline_ms.",
        predicted_wait_ms=estimate.wait_s * 1000,
        retry_after_s=estimate.retry_after_s,
    )


def _bytes(document: Content) -> int:
    return len(document.encode()) if isinstance(document, str) else len(document.packed)
