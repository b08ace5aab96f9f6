"""What is sent for the misses of a request: one job, or several where processes are idle and it pays. Pure.

Each document lies in exactly one job. A request that could not be answered before its deadline is refused here, before
anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_producer._dispatch.fleet_load import Prospects, told_alive
from rerank_producer._io.enqueue import Kept
from rerank_producer._request.plan import Prepared, ttl_s
from rerank_shared.contract import wire
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.messages import Job
from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import DeadlineTooShort, Overloaded, RerankError
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import ledger_member
from rerank_shared.queue.lifetimes import end
from rerank_shared.scheduling.admission import Outlook
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.sharding import shard_count, split
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.settings import Settings

#: What lies between the end of a run and its answer here, when nothing is wrong: the queue, the way back, a busy core.
_HAND_OFF_S = 0.1


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent for one job: the envelope, and its text apart where that is large. That lives `ttl_s`.

    `part` are the places of its documents among the misses of the request. `late_after_s` is the time, from sending,
    within which 99 of 100 answers come; None where nobody knows.
    """

    job: Job
    text: bytes | None
    ttl_s: int
    part: tuple[int, ...]
    late_after_s: float | None = None

    def kept(self, keys: Keys) -> list[Kept]:
        """Return what must be there when a worker opens the envelope."""
        return [] if self.text is None else [Kept(keys.text(self.job.job_id), self.text, self.ttl_s * 1000)]

    def remove_from(self, pipe: Any, keys: Keys) -> None:
        """Queue on a Redis pipeline that all this goes again, for a job that nobody wants."""
        if self.text is not None:
            end(pipe, keys, keys.text(self.job.job_id))
        pipe.zrem(keys.ledger(self.job.job_class), ledger_member(self.job))

    def again(self) -> Parcel:
        """Return the same parcel for the next attempt."""
        return replace(self, job=replace(self.job, attempt=self.job.attempt + 1))

    def inline(self) -> Parcel:
        """Return the same parcel with its text in the envelope, however large: apart from it, it was lost."""
        if self.text is None:
            return self
        return replace(self, job=replace(self.job, documents=wire.decode_texts(self.text)), text=None)


def make_parcels(
    prepared: Prepared,
    settings: Settings,
    now: float,
    prospects: Prospects,
    *,
    partial: bool,
    shards: int | None = None,
) -> list[Parcel]:
    """Return what is to be sent for the misses; `now` is epoch seconds, `shards` overrides how many jobs it becomes.

    Raises Overloaded if the fleet can't answer before the deadline (with `partial`, not even in part), and
    DeadlineTooShort if an idle one could not either.
    """
    plan = prepared.plan
    limit = prepared.max_length or (None if plan.artefact is None else plan.artefact.max_length)
    lengths = estimate_lengths(prepared.query, (prepared.contents[index] for index in plan.misses), limit)
    run_s = prospects.run_s(Work.of(lengths))
    if shards is None:
        shards = shard_count(run_s=run_s, pairs=len(lengths), idle=prospects.idle) if settings.shard else 1
    parts = split(lengths, shards)
    part_s = run_s / len(parts)
    due = due_at(deadline_at=plan.deadline_at, entered_at=now, aging_s=settings.aging_s)
    outlook = Outlook(prospects.wait_s(plan.job_class, due), part_s, plan.deadline_at - now)
    if settings.refuse and outlook.hopeless(partial=partial):
        raise _refusal(outlook, prospects.workers, partial=partial)
    packer = _Packer(prepared, settings, prospects, now, partial, due, outlook.wait_s)
    ids = [plan.job_id] if len(parts) == 1 else [f"{plan.job_id}-{number}" for number in range(len(parts))]
    return [packer.pack(job_id, part, [lengths[i] for i in part]) for job_id, part in zip(ids, parts, strict=True)]


@dataclass(frozen=True, slots=True)
class _Packer:
    """What the jobs of one request have in common."""

    prepared: Prepared
    settings: Settings
    prospects: Prospects
    now: float
    partial: bool
    due_at: float
    wait_s: float

    def pack(self, job_id: str, part: Sequence[int], lengths: Sequence[int]) -> Parcel:
        prepared, plan = self.prepared, self.prepared.plan
        documents = tuple(prepared.contents[plan.misses[place]] for place in part)
        apart = sum(map(_bytes, documents)) > self.settings.inline_bytes
        job = Job(
            job_id=job_id,
            job_class=plan.job_class,
            model=plan.model,
            query=prepared.query,
            documents=None if apart else documents,
            max_length=prepared.max_length,
            enqueued_at=self.now,
            deadline_at=plan.deadline_at,
            tokens=sum(lengths),
            tokenizer_digest=prepared.tokenizer_digest,
            tenant=prepared.tenant,
            partial=self.partial,
            pairs=len(part),
            tokens_longest=sum(length * length for length in lengths),
            due_at=self.due_at,
            cache_scope=prepared.cache_scope,
        )
        life_s = max(0.0, plan.deadline_at - self.now) + self.settings.redelivery_s + self.settings.result_ttl_s
        text = wire.encode_texts(documents) if apart else None
        return Parcel(job, text, ttl_s(life_s), tuple(part), self._late_after_s(Work.of(lengths)))

    def _late_after_s(self, work: Work) -> float | None:
        cost = self.prospects.cost
        return None if cost is None else _HAND_OFF_S + self.wait_s * cost.p99_ratio + cost.predict_p99_s(work)


def _refusal(outlook: Outlook, workers: int, *, partial: bool) -> RerankError:
    if not partial and outlook.too_much:
        return DeadlineTooShort(
            f"refused: the request would run {outlook.run_s:.1f} s, and its deadline is {outlook.left_s:.1f} s away. "
            "Send fewer documents, allow a longer deadline, or take the partial answer that there is by then."
        )
    return Overloaded(
        f"refused: {told_alive(workers)} with {outlook.wait_s:.1f} s of more urgent work each, so a request that runs "
        f"{outlook.run_s:.1f} s would miss its deadline of {outlook.left_s:.1f} s. Retry after "
        f"{outlook.retry_after_s:.1f} s, start more workers, or allow a longer deadline_ms.",
        predicted_wait_ms=outlook.wait_s * 1000,
        retry_after_s=outlook.retry_after_s,
    )


def _bytes(document: Content) -> int:
    return len(document.encode()) if isinstance(document, str) else len(document.packed)
