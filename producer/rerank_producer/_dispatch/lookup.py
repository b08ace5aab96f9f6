"""The look-up: one round trip before anything is sent.

It reads the cached scores of a request, the fleet's load, the claims of other requests on its pairs, and what fusion
has learned. The keys of cached scores depend on the scoring identity; where that was never read, or has changed, a
second round trip follows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.fleet_load import FleetLoad, FleetLoadCache
from rerank_producer._dispatch.learned_deviations import LearnedDeviations
from rerank_producer._dispatch.served_models import ServedModels
from rerank_producer._io.port import Port
from rerank_producer._request.plan import check_tokenizer, effective_max_length
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Deviations, Fusion, Score, ScoringIdentity, cache_tenant
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.pools import Pool, pool_for, pool_id_of
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The answers of a look-up. `digests` and `scores`, one a document, are None where the cache was not asked.

    `load` is None where the server did not answer. `claims`, one a document, is empty where single flight is off.
    `deviations` are those that the request's fusion rests on, None where it needs none or none are known.
    """

    pool: Pool | None
    max_length: int | None
    digests: list[bytes] | None = None
    scores: list[Score | None] | None = None
    load: FleetLoad | None = None
    claims: Sequence[bytes | None] = ()
    deviations: Deviations | None = None

    @property
    def identity(self) -> ScoringIdentity | None:
        """The scoring identity of the pool."""
        return None if self.pool is None else self.pool.identity


@dataclass(slots=True)
class RequestLookup:
    """Looks up the requests of one client. Threads and event loops may share it."""

    settings: Settings
    keys: Keys
    served_models: ServedModels
    fleet_load: FleetLoadCache
    learned: LearnedDeviations

    async def run(self, port: Port, request: RerankRequest, model: str, fusion: Fusion | None = None) -> LookupResult:
        """Return what the server knows of a request. Raises UnknownModel, InvalidRequest.

        A cache that can't be read counts as empty. If the server is away, sending raises that.
        """
        if not request.documents:
            return LookupResult(None, request.max_length)
        try:
            known = self.served_models.query(model).known or await self.served_models.get(port, model)
            pool = pool_for(known, request.query)
            found = await self._read(port, request, model, pool, fusion)
            if not _same(found.pool, pool):
                pool = pool_for(await self.served_models.get(port, model), request.query)
                found = await self._read(port, request, model, pool, fusion)
        except QueueUnavailable as error:
            log.debug("look-up failed error=%r", error)
            pool = pool_for(self.served_models.query(model).known, request.query)
            identity = None if pool is None else pool.identity
            return LookupResult(pool, effective_max_length(request, self.settings, identity))
        if found.scores is not None:
            misses = found.scores.count(None)
            metrics.observe_lookup(len(found.scores) - misses, misses)
        return found

    async def _read(
        self,
        port: Port,
        request: RerankRequest,
        model: str,
        pool: Pool | None,
        fusion: Fusion | None,
    ) -> LookupResult:
        identity = None if pool is None else pool.identity
        check_tokenizer(request, identity)
        max_length = effective_max_length(request, self.settings, identity)
        digests = None
        if identity is not None and max_length is not None and self.settings.cache:
            digests = pair_digests(
                identity,
                max_length,
                request.query,
                request.contents(),
                cache_tenant=cache_tenant(request.cache_scope, request.tenant),
            )
        claims = [self.keys.flight(digest) for digest in digests or ()] if self.settings.single_flight else []
        served, load = self.served_models.query(model), self.fleet_load.query(model, pool_id_of(pool))
        learned = self.learned.query(self.learned.key(request, fusion, identity))

        def fill(pipe: Any) -> None:
            served.ask(pipe)
            load.ask(pipe)
            learned.ask(pipe)
            if claims:
                pipe.mget(claims)

        scores, answers = await port.lookup(digests or (), fill)
        rest = iter(answers)
        # In the order in which `fill` asked.
        pools, found_load, deviations = served.read(rest), load.read(rest), learned.read(rest)
        if not served.complete:
            pools = await self.served_models.completed(port, served)
        found_pool = pool_for(pools, request.query)
        found_scores = None if digests is None else scores
        return LookupResult(found_pool, max_length, digests, found_scores, found_load, next(rest, ()), deviations)


def _same(found: Pool | None, expected: Pool | None) -> bool:
    """Whether two answers lead to the same queue and the same cached scores."""
    if found is None or expected is None:
        return found is expected
    return (found.id, found.identity) == (expected.id, expected.identity)
