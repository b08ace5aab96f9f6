"""From a request to what must be done for it: which scores are known, which pairs are left, and the job that asks for
them. Pure: it reads no clock and touches no connection.

Every document is either a hit or a miss, exactly once; `plan.misses[i]` is the document that the job's i-th text is.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_shared import wire
from rerank_shared.errors import InvalidRequest
from rerank_shared.fleet import ledger_member
from rerank_shared.keys import Keys
from rerank_shared.messages import Artefact, Job, Score, Submitted
from rerank_shared.schemas import Document, RerankRequest, parse_request
from rerank_shared.settings import Settings
from rerank_shared.token_ids import Content, refuse_foreign
from rerank_shared.work import estimate_tokens

#: Redis refuses life-times that overflow; nobody waits longer than this.
_TTL_MAX_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with what the cache knew of it. `max_length` None leaves it to the worker."""

    plan: Submitted
    query: str
    contents: list[Content]
    metadata: list[dict[str, Any] | None] | None
    max_length: int | None
    tokenizer_digest: str | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent for one job: the envelope, and its text apart where that is large. Keys live `ttl_s`."""

    job: Job
    text: bytes | None
    ttl_s: int

    def add_to(self, pipe: Any, keys: Keys) -> None:
        """Queue on a Redis pipeline all that must be there before the envelope is sent; may be repeated."""
        if self.text is not None:
            pipe.set(keys.text(self.job.job_id), self.text, ex=self.ttl_s)
        member = ledger_member(self.job.job_id, self.job.tokens)
        pipe.zadd(keys.ledger(self.job.job_class), {member: self.job.deadline_at})

    def again(self) -> Parcel:
        """Return the same parcel for the next attempt."""
        return replace(self, job=replace(self.job, attempt=self.job.attempt + 1))


def parse(
    settings: Settings, query: str, documents: Sequence[str | Mapping[str, Any] | Document], options: Mapping[str, Any]
) -> RerankRequest:
    """Return a valid request that is within the limits of `settings`; raises InvalidRequest."""
    request = parse_request(query, documents, **options)
    if len(request.documents) > settings.max_documents:
        raise InvalidRequest(
            f"documents: {len(request.documents)} are more than the {settings.max_documents} that one request may "
            "carry; send several requests, or raise RERANK_MAX_DOCUMENTS"
        )
    return request


def wait_ms(request: RerankRequest, settings: Settings) -> float:
    """Return how long the caller waits: what the request says, else the default of its class."""
    if request.deadline_ms is not None:
        return request.deadline_ms
    return settings.default_deadline_ms if request.job_class == "interactive" else settings.bulk_deadline_ms


def effective_max_length(request: RerankRequest, settings: Settings, artefact: Artefact | None) -> int | None:
    """Return the tokens that pairs are cut to; None while nobody has announced what the model allows.

    Raises InvalidRequest if the request asks for more than that. The default of `settings` is only lowered to it.
    """
    if artefact is None:
        return request.max_length
    limit = artefact.max_length
    if request.max_length is None:
        return min(settings.max_length or limit, limit)
    if request.max_length > limit:
        raise InvalidRequest(f"max_length: {request.max_length} is beyond the {limit} tokens of {artefact.model!r}")
    return request.max_length


def check_tokenizer(request: RerankRequest, artefact: Artefact | None) -> None:
    """Raise InvalidRequest if the request's token ids are not of the tokenizer that the fleet announced.

    While nothing is announced the worker is the one to refuse them, as it does in any case.
    """
    if request.tokenizer_digest is not None and artefact is not None:
        refuse_foreign(request.tokenizer_digest, artefact.tokenizer_digest, artefact.model)


def prepare(
    request: RerankRequest,
    *,
    model: str,
    artefact: Artefact | None,
    max_length: int | None,
    scores: Sequence[Score | None] | None,
    submitted_at: float,
    deadline_at: float,
) -> Prepared:
    """Divide a request into hits and misses; `scores` is the cache's answer, None if it was not asked."""
    count = len(request.documents)
    hits = {} if scores is None else {index: score for index, score in enumerate(scores) if score is not None}
    apart = any(not isinstance(document, str) for document in request.documents)
    plan = Submitted(
        job_id=uuid.uuid4().hex,
        job_class=request.job_class,
        model=model,
        ids=tuple(None if isinstance(d, str) else d.id for d in request.documents) if apart else (None,) * count,
        hits=hits,
        misses=tuple(index for index in range(count) if index not in hits),
        top_n=request.top_n,
        submitted_at=submitted_at,
        deadline_at=deadline_at,
        artefact=artefact,
    )
    metadata = [None if isinstance(d, str) else d.metadata for d in request.documents] if apart else None
    return Prepared(plan, request.query, request.contents(), metadata, max_length, request.tokenizer_digest)


def without_hits(prepared: Prepared) -> Prepared:
    """Return the same request, to be scored as a whole by one worker, under a new id."""
    plan = replace(
        prepared.plan, job_id=uuid.uuid4().hex, hits={}, misses=tuple(range(len(prepared.contents))), artefact=None
    )
    return replace(prepared, plan=plan)


def make_parcel(prepared: Prepared, settings: Settings, now: float) -> Parcel:
    """Return what is to be sent for the misses; `now` is epoch seconds."""
    plan = prepared.plan
    documents = tuple(prepared.contents[index] for index in plan.misses)
    apart = sum(map(_bytes, documents)) > settings.inline_bytes
    artefact_limit = None if plan.artefact is None else plan.artefact.max_length
    job = Job(
        job_id=plan.job_id,
        job_class=plan.job_class,
        model=plan.model,
        query=prepared.query,
        documents=None if apart else documents,
        max_length=prepared.max_length,
        enqueued_at=now,
        deadline_at=plan.deadline_at,
        tokens=estimate_tokens(prepared.query, documents, prepared.max_length or artefact_limit),
        tokenizer_digest=prepared.tokenizer_digest,
    )
    wait_s = max(0.0, plan.deadline_at - now)
    text = wire.encode_texts(documents) if apart else None
    return Parcel(job, text, ttl_s(wait_s + settings.redelivery_s + settings.result_ttl_s))


def _bytes(document: Content) -> int:
    return len(document.encode()) if isinstance(document, str) else len(document.packed)


def ttl_s(wanted_s: float) -> int:
    """Return a life-time that Redis accepts."""
    return max(1, math.ceil(min(wanted_s, _TTL_MAX_S)))


def same_scores(one: Artefact, other: Artefact) -> bool:
    """Whether two artefacts give a pair the same logit; the activation comes after it."""
    return replace(one, activation="") == replace(other, activation="")
