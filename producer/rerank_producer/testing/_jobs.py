"""Jobs of the in-memory fleet: their public form for tests, and the records of their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Feedback, Job, Outcome
from rerank_shared.contract.token_ids import Content, TokenIds
from rerank_shared.errors import JobRevoked, RerankError
from rerank_shared.keys import CacheScope, JobClass


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job as it reached the in-memory fleet: the part of a request that no cache could answer.

    `documents` are texts, or token ids where the caller sent those, in first-stage order. `deadline_ms` counts from the
    sending of the job; `max_length` None means the workers' own limit. `attempt` is above 1 for a job that was sent
    again, under the same `job_id`.
    """

    job_id: str
    query: str
    documents: tuple[str | tuple[int, ...], ...]
    model: str
    job_class: JobClass
    tenant: str
    deadline_ms: float
    partial: bool
    max_length: int | None
    cache_scope: CacheScope
    attempt: int

    @classmethod
    def of(cls, job: Job, documents: tuple[Content, ...]) -> SentJob:
        """Return the public form of a job with these documents."""
        return cls(
            job_id=job.job_id,
            query=job.query,
            documents=tuple(plain_content(each) for each in documents),
            model=job.model,
            job_class=job.job_class,
            tenant=job.tenant,
            deadline_ms=round((job.deadline_at - job.enqueued_at) * 1000, 3),
            partial=job.partial,
            max_length=job.max_length,
            cache_scope=job.cache_scope,
            attempt=job.attempt,
        )


@dataclass(frozen=True, slots=True)
class StoredFeedback:
    """Feedback as the in-memory fleet keeps it: ids in the order in which they were shown, and the clicked ones.

    `query` is None unless the settings say that texts are kept. `swapped_rank`: the result at this rank and the next
    had changed places; 0: none.
    """

    request_id: str
    shown: tuple[str, ...]
    clicked: tuple[str, ...]
    tenant: str
    query_id: str | None
    query: str | None
    swapped_rank: int

    @classmethod
    def of(cls, record: Feedback) -> StoredFeedback:
        """Return the public form of a record."""
        return cls(
            request_id=record.request_id,
            shown=record.shown,
            clicked=tuple(record.shown[rank - 1] for rank in record.clicked),
            tenant=record.tenant,
            query_id=record.query_id,
            query=record.query,
            swapped_rank=record.swapped_rank,
        )


def plain_content(content: Content) -> str | tuple[int, ...]:
    """Return a document as its caller gave it."""
    return tuple(memoryview(content.packed).cast("I")) if isinstance(content, TokenIds) else content


def record_of(job_id: str, answer: Outcome | RerankError) -> bytes:
    """Return a job's record as the fleet's result backend writes it."""
    if isinstance(answer, Outcome):
        return wire.encode_record(answer)
    status, result = "REVOKED", None
    if not isinstance(answer, JobRevoked):
        status, result = "FAILURE", {"exc_type": type(answer).__name__, "exc_message": list(answer.args)}
    packed: bytes = msgpack.packb({"task_id": job_id, "status": status, "result": result})
    return packed


def decoded(job: Job, text: Any) -> tuple[Content, ...] | None:
    """Return a job's documents, given the text beside it; None where the text is gone."""
    if job.documents is not None:
        return job.documents
    return None if text is None else wire.decode_texts(text)
