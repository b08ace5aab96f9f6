"""The request plan: which scores of a request are known, and which pairs must be scored. Pure: no clock, no connection.

Every document is either a hit or a miss; `_dispatch.shards` makes jobs of the misses.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_shared.contract.messages import Fusion, Score, ScoringIdentity, StoredRequest
from rerank_shared.contract.schemas import Document, RerankRequest, parse_request
from rerank_shared.contract.token_ids import Content, refuse_foreign
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import CacheScope, JobClass
from rerank_shared.pools import Pool, pool_id_of
from rerank_shared.routing.route import Limits, Target
from rerank_shared.settings import Settings

#: Redis refuses life-times that overflow; no caller waits longer than this.
_TTL_MAX_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """A request and what the cache knew of it.

    `max_length` None leaves the length to the worker. `digests`, one a pair of the request, is None while no worker has
    announced the identity that they depend on.
    """

    stored: StoredRequest
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
    """Return a valid request within the limits of `settings`. Raises InvalidRequest."""
    request = parse_request(query, documents, **options)
    if len(request.documents) > settings.max_documents:
        raise InvalidRequest(
            f"documents: {len(request.documents)} are more than the {settings.max_documents} that one request may "
            "carry; send several requests, or raise RERANK_MAX_DOCUMENTS"
        )
    return request


def wait_ms(request: RerankRequest, settings: Settings) -> float:
    """Return the milliseconds that the caller waits: the request's own deadline, else the default of its class."""
    own_ms = request.deadline_ms
    return default_deadline_ms(request.job_class, settings) if own_ms is None else own_ms


def default_deadline_ms(job_class: JobClass, settings: Settings) -> float:
    """Return the milliseconds that a caller waits who sets no deadline."""
    return settings.default_deadline_ms if job_class == "interactive" else settings.bulk_deadline_ms


def effective_max_length(
    request: RerankRequest, settings: Settings, identity: ScoringIdentity | None, by_route: int | None = None
) -> int | None:
    """Return the tokens that pairs are cut to; None while no worker has announced the model's limit.

    Raises InvalidRequest if the request asks for more than the limit. A default beyond it, the one `by_route` or else
    that of `settings`, is lowered.
    """
    if identity is None:
        return request.max_length
    limit = identity.max_length
    if request.max_length is None:
        return min(by_route or settings.max_length or limit, limit)
    if request.max_length > limit:
        raise InvalidRequest(f"max_length: {request.max_length} is beyond the {limit} tokens of {identity.model!r}")
    return request.max_length


def with_limits(request: RerankRequest, limits: Limits) -> RerankRequest:
    """Return a request with a route's defaults where it has no `top_n` or `deadline_ms` of its own."""
    defaults = {"top_n": limits.top_n, "deadline_ms": limits.deadline_of(request.job_class)}
    used = {name: value for name, value in defaults.items() if value is not None and getattr(request, name) is None}
    return request.model_copy(update=used) if used else request


def check_tokenizer(request: RerankRequest, identity: ScoringIdentity | None) -> None:
    """Raise InvalidRequest if the request's token ids are not of the tokenizer that the fleet announced.

    While no tokenizer is announced, the worker refuses them, as it does in any case.
    """
    if request.tokenizer_digest is not None and identity is not None:
        refuse_foreign(request.tokenizer_digest, identity.tokenizer_digest, identity.model)


def prepare(
    request: RerankRequest,
    *,
    target: Target,
    pool: Pool | None,
    max_length: int | None,
    scores: Sequence[Score | None] | None,
    submitted_at: float,
    deadline_at: float,
    digests: list[bytes] | None = None,
    fusion: Fusion | None = None,
) -> RequestPlan:
    """Divide a request into hits and misses; `scores`, one a document, is the cache's answer, None if not asked."""
    count = len(request.documents)
    hits = {} if scores is None else {index: score for index, score in enumerate(scores) if score is not None}
    apart = any(not isinstance(document, str) for document in request.documents)
    stored = StoredRequest(
        job_id=uuid.uuid4().hex,
        job_class=request.job_class,
        model=target.model,
        ids=tuple(None if isinstance(d, str) else d.id for d in request.documents) if apart else (None,) * count,
        hits=hits,
        misses=tuple(index for index in range(count) if index not in hits),
        # A larger number means all of them, and might not fit the wire.
        top_n=None if request.top_n is None else min(request.top_n, max(1, count)),
        submitted_at=submitted_at,
        deadline_at=deadline_at,
        identity=None if pool is None else pool.identity,
        tenant=request.tenant,
        fusion=fusion,
        pool=pool_id_of(pool),
        route=target.route_name,
        route_version=target.route_version,
    )
    metadata = [None if isinstance(d, str) else d.metadata for d in request.documents] if apart else None
    return RequestPlan(
        stored=stored,
        query=request.query,
        contents=request.contents(),
        metadata=metadata,
        max_length=max_length,
        tokenizer_digest=request.tokenizer_digest,
        tenant=request.tenant,
        digests=digests,
        cache_scope=request.cache_scope,
    )


def without_hits(plan: RequestPlan, pool: Pool | None) -> RequestPlan:
    """Return the plan with every document a miss, under a new id, for a pool."""
    stored = replace(
        plan.stored,
        job_id=uuid.uuid4().hex,
        hits={},
        misses=tuple(range(len(plan.contents))),
        identity=None,
        pool=pool_id_of(pool),
    )
    return replace(plan, stored=stored)


def without_misses(plan: RequestPlan, left_out: Collection[int]) -> RequestPlan:
    """Return the plan without the misses at the indexes `left_out`, which other requests score."""
    misses = tuple(index for index in plan.stored.misses if index not in left_out)
    return replace(plan, stored=replace(plan.stored, misses=misses))


def only_misses(plan: RequestPlan, misses: Sequence[int]) -> RequestPlan:
    """Return the plan with these misses alone, under a new id."""
    return replace(plan, stored=replace(plan.stored, job_id=uuid.uuid4().hex, misses=tuple(misses)))


def with_misses(plan: RequestPlan, more: Sequence[int]) -> RequestPlan:
    """Return the plan with more misses, behind those it has."""
    return replace(plan, stored=replace(plan.stored, misses=(*plan.stored.misses, *more)))


def with_hits(plan: RequestPlan, found: dict[int, Score]) -> RequestPlan:
    """Return the plan with more hits."""
    return replace(plan, stored=replace(plan.stored, hits=plan.stored.hits | found))


def ttl_s(wanted_s: float) -> int:
    """Return a life-time in whole seconds that Redis accepts."""
    return max(1, math.ceil(min(wanted_s, _TTL_MAX_S)))


def same_scores(one: ScoringIdentity, other: ScoringIdentity) -> bool:
    """Whether two identities give a pair the same logit; the activation comes after it."""
    return one == other or replace(one, activation="") == replace(other, activation="")
