"""From a request to what must be done for it: which scores are known, and which pairs are left. Pure: it reads no clock
and touches no connection.

Every document is either a hit or a miss, exactly once; `parcels` makes jobs of the misses.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_shared.contract.messages import Artefact, Score, Submitted
from rerank_shared.contract.schemas import Document, RerankRequest, parse_request
from rerank_shared.contract.token_ids import Content, refuse_foreign
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import CacheScope, JobClass
from rerank_shared.settings import Settings

#: Redis refuses life-times that overflow; nobody waits longer than this.
_TTL_MAX_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with what the cache knew of it. `max_length` None leaves it to the worker; `digests` are those of all
    its pairs, None where nobody has announced what they depend on."""

    plan: Submitted
    query: str
    contents: list[Content]
    metadata: list[dict[str, Any] | None] | None
    max_length: int | None
    tokenizer_digest: str | None
    tenant: str
    digests: list[bytes] | None = None
    cache_scope: CacheScope = "fleet"


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
    own_ms = request.deadline_ms
    return default_deadline_ms(request.job_class, settings) if own_ms is None else own_ms


def default_deadline_ms(job_class: JobClass, settings: Settings) -> float:
    """Return how long a caller waits that does not say."""
    return settings.default_deadline_ms if job_class == "interactive" else settings.bulk_deadline_ms


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
    digests: list[bytes] | None = None,
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
        # More than there are is all of them, and need not fit the wire.
        top_n=None if request.top_n is None else min(request.top_n, max(1, count)),
        submitted_at=submitted_at,
        deadline_at=deadline_at,
        artefact=artefact,
        tenant=request.tenant,
    )
    metadata = [None if isinstance(d, str) else d.metadata for d in request.documents] if apart else None
    return Prepared(
        plan=plan,
        query=request.query,
        contents=request.contents(),
        metadata=metadata,
        max_length=max_length,
        tokenizer_digest=request.tokenizer_digest,
        tenant=request.tenant,
        digests=digests,
        cache_scope=request.cache_scope,
    )


def without_hits(prepared: Prepared) -> Prepared:
    """Return the same request, to be scored as a whole by one worker, under a new id."""
    plan = replace(
        prepared.plan, job_id=uuid.uuid4().hex, hits={}, misses=tuple(range(len(prepared.contents))), artefact=None
    )
    return replace(prepared, plan=plan)


def without_misses(prepared: Prepared, left_out: Collection[int]) -> Prepared:
    """Return the same request, of which some misses are somebody else's."""
    misses = tuple(index for index in prepared.plan.misses if index not in left_out)
    return replace(prepared, plan=replace(prepared.plan, misses=misses))


def only_misses(prepared: Prepared, misses: Sequence[int]) -> Prepared:
    """Return the same request with these misses alone, under a new id."""
    return replace(prepared, plan=replace(prepared.plan, job_id=uuid.uuid4().hex, misses=tuple(misses)))


def with_misses(prepared: Prepared, more: Sequence[int]) -> Prepared:
    """Return the same request with more misses, behind those it has."""
    return replace(prepared, plan=replace(prepared.plan, misses=(*prepared.plan.misses, *more)))


def with_hits(prepared: Prepared, found: dict[int, Score]) -> Prepared:
    """Return the same request with more hits."""
    return replace(prepared, plan=replace(prepared.plan, hits=prepared.plan.hits | found))


def ttl_s(wanted_s: float) -> int:
    """Return a life-time that Redis accepts."""
    return max(1, math.ceil(min(wanted_s, _TTL_MAX_S)))


def same_scores(one: Artefact, other: Artefact) -> bool:
    """Whether two artefacts give a pair the same logit; the activation comes after it."""
    return replace(one, activation="") == replace(other, activation="")
