"""The look-up: one round trip before anything is sent.

It reads the cached scores of a request, the fleet's load, the claims of other requests on its pairs, and what fusion
has learned. The keys of cached scores depend on the scoring identity; where that was never read, or has changed, a
second round trip follows. So it does where a route has changed, so that the query meets another model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.fleet_load import FleetLoad, FleetLoadCache
from rerank_producer._dispatch.learned_deviations import LearnedDeviations
from rerank_producer._dispatch.routes.errors import naming, naming_routes
from rerank_producer._dispatch.routes.known import KnownRoutes
from rerank_producer._dispatch.served_models import ServedModels
from rerank_producer._io.port import Port
from rerank_producer._request.plan import check_tokenizer, effective_max_length
from rerank_producer._request.response import model_info
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Deviations, Fusion, Score, ScoringIdentity, cache_tenant
from rerank_shared.contract.schemas import ModelInfo, RerankRequest
from rerank_shared.errors import InvalidRequest, QueueUnavailable, UnknownModel
from rerank_shared.keys import Keys
from rerank_shared.pools import Pool, largest, pool_for, pool_id_of
from rerank_shared.routing.route import Route, Target
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The answers of a look-up. `target` is the model that the request goes to, and the route that led there; `pool` is
    that of the model.

    `digests` and `scores`, one a document, are None where the cache was not asked.

    `load` is None where the server did not answer. `claims`, one a document, is empty where single flight is off.
    `deviations` are those that the request's fusion rests on, None where it needs none or none are known.
    """

    target: Target
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
        return _identity_of(self.pool)

    def of_first(self, count: int) -> LookupResult:
        """Return the answers for the first `count` documents."""
        return replace(
            self,
            digests=None if self.digests is None else self.digests[:count],
            scores=None if self.scores is None else self.scores[:count],
            claims=self.claims[:count],
        )


@dataclass(slots=True)
class RequestLookup:
    """Looks up the requests of one client. Threads and event loops may share it."""

    settings: Settings
    keys: Keys
    routes: KnownRoutes
    served_models: ServedModels
    fleet_load: FleetLoadCache
    learned: LearnedDeviations

    async def run(
        self,
        port: Port,
        request: RerankRequest,
        name: str,
        fusion: Fusion | None = None,
        *,
        pinned: Target | None = None,
    ) -> LookupResult:
        """Return what the server knows of a request for `name`, or for the model of a stage, which is `pinned`.

        A cache that can't be read counts as empty. If the server is away, sending raises that. Raises UnknownModel,
        InvalidRequest.
        """

        def aim() -> Target:
            return pinned or self.routes.target(name, request.query)

        target = aim()
        if not request.documents:
            return LookupResult(target, None, request.max_length)
        try:
            target, pool = await self._start(port, request, aim)
            found = await self._first_read(port, request, target, pool, fusion, aim)
            now = aim()
            if found is None or not _same(found.pool, pool) or now != target:
                old, target = target, now
                with self._telling(target):
                    if target.model != old.model:
                        pool = await self._known_or_read(port, target.model, request.query)
                    elif found is not None:
                        pool = found.pool
                    found = await self._read(port, request, target, pool, fusion)
        except QueueUnavailable as error:
            log.debug("look-up failed error=%r", error)
            pool = pool_for(self.served_models.query(target.model).known, request.query)
            return LookupResult(target, pool, self._max_length(request, target, _identity_of(pool)))
        if found.scores is not None:
            misses = found.scores.count(None)
            metrics.observe_lookup(len(found.scores) - misses, misses)
        return found

    async def model_info(self, port: Port, name: str) -> ModelInfo:
        """Return what is served under a name. Raises UnknownModel, QueueUnavailable.

        Of a route it is the served model with the largest share, or of the first stage; the `max_length` is the least
        of its models'.
        """
        route = await self._route(port, name)
        if route is None:
            with naming_routes(self.routes.names):
                return model_info(name, _identity_of(largest(await self.served_models.get(port, name))))
        found = [await self._served(port, model) for model in route.answering]
        served = [identity for identity in found if identity is not None]
        if not served:
            with naming(Target(route.main, route)):
                return model_info(route.main, _identity_of(largest(await self.served_models.get(port, route.main))))
        limit = min(identity.max_length for identity in served)
        return model_info(route.main, served[0]).model_copy(update={"max_length": limit})

    async def sole_model(self, port: Port, name: str) -> str:
        """Return the one model that all requests for a name go to. Raises InvalidRequest for a route to several."""
        route = await self._route(port, name)
        if route is None:
            return name
        if len(route.answering) > 1:
            several = ", ".join(route.answering)
            raise InvalidRequest(f"model: {name!r} is a route to {several}, and one model is needed: name one of them")
        return route.main

    async def _route(self, port: Port, name: str) -> Route | None:
        """Return the route of a name; one round trip where the routes were not read of late."""
        routes = self.routes.query()
        if not routes.fresh:
            routes.read(iter(await port.pipeline(routes.ask)))
        return self.routes.find(name)

    async def _served(self, port: Port, model: str) -> ScoringIdentity | None:
        """Return the identity of a model; None where the fleet serves other models only."""
        try:
            return _identity_of(largest(await self.served_models.get(port, model)))
        except UnknownModel:
            return None

    async def _start(self, port: Port, request: RerankRequest, aim: Callable[[], Target]) -> tuple[Target, Pool | None]:
        """Return where a request goes, and the pool there; one round trip where either was never read."""
        target = aim()
        served = self.served_models.query(target.model)
        if self.routes.were_read and served.known:
            return target, pool_for(served.known, request.query)
        # The routes too: a name that no model has may be a route of late.
        routes = self.routes.query(anew=True)

        def fill(pipe: Any) -> None:
            routes.ask(pipe)
            served.ask(pipe)

        answers = iter(await port.pipeline(fill))
        routes.read(answers)
        now = aim()
        with self._telling(now):
            if now.model == target.model:
                served.read(answers)
                return now, pool_for(await self.served_models.completed(port, served), request.query)
            return now, await self._known_or_read(port, now.model, request.query)

    async def _first_read(
        self,
        port: Port,
        request: RerankRequest,
        target: Target,
        pool: Pool | None,
        fusion: Fusion | None,
        aim: Callable[[], Target],
    ) -> LookupResult | None:
        """Return what was read; None where its model has gone and the route leads to another one by now."""
        try:
            with self._telling(target):
                return await self._read(port, request, target, pool, fusion)
        except UnknownModel:
            if aim().model == target.model:
                raise
            return None

    async def _known_or_read(self, port: Port, model: str, query: str) -> Pool | None:
        return pool_for(self.served_models.query(model).known or await self.served_models.get(port, model), query)

    def _telling(self, target: Target) -> AbstractContextManager[None]:
        """Let an error that leaves the block name the route to `target`, or the routes that may have been meant."""
        return naming(target) if target.route is not None else naming_routes(self.routes.names)

    def _max_length(self, request: RerankRequest, target: Target, identity: ScoringIdentity | None) -> int | None:
        return effective_max_length(request, self.settings, identity, target.limits.max_length)

    async def _read(
        self,
        port: Port,
        request: RerankRequest,
        target: Target,
        pool: Pool | None,
        fusion: Fusion | None,
    ) -> LookupResult:
        identity = _identity_of(pool)
        check_tokenizer(request, identity)
        max_length = self._max_length(request, target, identity)
        digests = None
        if identity is not None and max_length is not None and self.settings.cache:
            digests = pair_digests(
                identity,
                max_length,
                request.query,
                request.contents(),
                cache_tenant=cache_tenant(request.cache_scope, request.tenant),
            )
        flights = [self.keys.flight(digest) for digest in digests or ()] if self.settings.single_flight else []
        routes, served = self.routes.query(), self.served_models.query(target.model)
        load = self.fleet_load.query(target.model, pool_id_of(pool))
        learned = self.learned.query(self.learned.key(request, fusion, identity))

        def fill(pipe: Any) -> None:
            routes.ask(pipe)
            served.ask(pipe)
            load.ask(pipe)
            learned.ask(pipe)
            if flights:
                pipe.mget(flights)

        scores, answers = await port.lookup(digests or (), fill)
        rest = iter(answers)
        # In the order in which `fill` asked.
        routes.read(rest)
        pools, found_load, deviations = served.read(rest), load.read(rest), learned.read(rest)
        claims = next(rest, ())
        if not served.complete:
            pools = await self.served_models.completed(port, served)
        found_pool, found_scores = pool_for(pools, request.query), None if digests is None else scores
        return LookupResult(target, found_pool, max_length, digests, found_scores, found_load, claims, deviations)


def _identity_of(pool: Pool | None) -> ScoringIdentity | None:
    return None if pool is None else pool.identity


def _same(found: Pool | None, expected: Pool | None) -> bool:
    """Whether two answers lead to the same queue and the same cached scores."""
    if found is None or expected is None:
        return found is expected
    return (found.id, found.identity) == (expected.id, expected.identity)
