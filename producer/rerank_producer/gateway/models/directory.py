"""The directory of models and routes that the fleet serves. Every request looks a name up; Redis is asked every two
seconds.

Announcements outlive their workers by a day, so that cached scores are found while a fleet is scaled to 0. While any
worker is alive, only models of live workers are served: a fleet that went over to another model has one model, not two.
A request that names one of the others still means that one, and waits for its workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rerank_producer._dispatch.routes.known import KnownRoutes
from rerank_producer._dispatch.routes.own_model import naming_origin
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.models.allowed import PoolsByName, may_use, not_served, refusal
from rerank_producer.gateway.models.resolver import ModelResolver, Names, ResolvedModel
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import name_of
from rerank_shared.contract.unreadable import name_of_bytes, read_or_none
from rerank_shared.errors import QueueUnavailable, UnknownModel, WireError
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import outages_told
from rerank_shared.redis.server_clock import epoch_of
from rerank_shared.route_store.table import ask_table, read_table
from rerank_shared.routing.route import Limits
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: So soon the directory follows a fleet that goes over to another model.
REMEMBERED_S = 2.0
_SOON_S = 0.25


@dataclass(slots=True)
class ModelDirectory:
    """Names that are served, as of a moment ago, and what each API key may use of them. `redis` is an asyncio client.

    `routes` are those of the gateway's own client, which so learns of a change as soon as this does.
    """

    redis: Any
    keys: Keys
    settings: Settings
    resolver: ModelResolver
    routes: KnownRoutes
    clock: Callable[[], float] = time.monotonic
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: _Known = field(default_factory=lambda: _Known())
    _failed: str | None = None
    _settled_until: float = float("-inf")

    async def resolve(self, name: str | None, key: ApiKey | None = None) -> ResolvedModel:
        """Return the model that answers for a name in a request, which the key may use; see ModelResolver.

        In an outage the names known last count: the request itself will fail with the reason. Raises UnknownModel, and
        Refused for a model or route that the key may not use.
        """
        await self._look()
        known = self._known
        try:
            with naming_origin(self.settings, named=bool(name)):
                resolved = self.resolver.resolve(name, known.served, self.routes.names, known.away)
        except UnknownModel:
            if key is None or key.models is None:
                raise
            raise not_served(key, name) from None
        if key is not None and not self.may_use(key, resolved.model):
            raise refusal(key, name, resolved)
        return resolved

    async def check_model(self, name: str, key: ApiKey | None) -> None:
        """Raise Refused unless the key may use the model of a name, which is not resolved: a stage names one."""
        await self._look()
        model = name_of(name)
        others = [each for each in self.routes.names if each != model]
        if key is not None and not may_use(key, model, others, self._known.pools):
            raise refusal(key, name, ResolvedModel(model))

    def may_use(self, key: ApiKey | None, name: str) -> bool:
        """Whether a key may use the model or route of a resolved name, as far as models and routes are known."""
        return may_use(key, name, self.routes.names, self._known.pools)

    def is_available(self, name: str) -> bool:
        """Whether a live worker serves a resolved name; of a route, each model that answers for it."""
        route = self.routes.find(name)
        return {*([name] if route is None else route.answering)} <= self._known.live

    async def _look(self) -> None:
        try:
            await self.names()
        except QueueUnavailable as error:
            log.debug("looking for models failed error=%r", error)

    async def names(self) -> Names:
        """Return the names that are served, and which model each is. Raises QueueUnavailable."""
        if self.clock() >= self._settled_until:
            # One task asks for all: where Redis accepts and does not answer, they would wait one after another.
            async with self._turn:
                if self.clock() >= self._settled_until:
                    await self._settle()
        if self._failed is not None:
            raise QueueUnavailable(self._failed)
        return self._known.served

    def limits(self, name: str | None) -> Limits:
        """Return the defaults of requests for a name, as far as it is known to be a route."""
        route = self.routes.find(name_of(name) if name else self.resolver.own)
        return Limits() if route is None else route.limits

    async def _settle(self) -> None:
        try:
            with outages_told(self.settings, "looking for models"):
                self._known, self._failed = await self._ask(), None
        except QueueUnavailable as error:
            self._failed = error.message
        # An empty directory is remembered for a shorter time: the first worker is about to come.
        remembered_s = REMEMBERED_S if self._known.served and self._failed is None else _SOON_S
        self._settled_until = self.clock() + remembered_s

    async def _ask(self) -> _Known:
        pipe: Any = self.redis.pipeline(transaction=False)
        pipe.time()
        pipe.zrange(self.keys.models, 0, -1, withscores=True)
        pipe.zrange(self.keys.workers, 0, -1, withscores=True)
        ask_table(pipe, self.keys)
        told, models, workers, routes = await pipe.execute()
        self.routes.learn(read_table(routes))
        now = epoch_of(told)
        announced, alive = _current(models, now), _current(workers, now)
        if not announced:
            return _Known()
        pipe.mget([*map(self.keys.identity, announced), *map(self.keys.worker, alive)])
        for name in announced:
            pipe.hgetall(self.keys.pools_of(name))
        records, *pools = await pipe.execute()
        names = dict(_models(zip(announced, records, pools, strict=False)))
        return _Known.of(names, frozenset(_live(records[len(announced) :])))


@dataclass(frozen=True, slots=True)
class _Known:
    """The names that were announced. `away` are those without a live worker while others have one.

    `live` are the names that have one. `pools` has the live pools of each, or, while it has none, those that were
    announced under it.
    """

    served: Names = field(default_factory=dict)
    away: Names = field(default_factory=dict)
    pools: PoolsByName = field(default_factory=dict)
    live: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Mapping[str, _Announced], live: frozenset[str]) -> _Known:
        """Sort names by whether a worker is alive. While none is, all are served."""
        models = {name: each.model for name, each in names.items()}
        available = frozenset(name for name, each in names.items() if each.model in live or each.last in live)
        alive = available or models.keys()
        return cls(
            served={name: model for name, model in models.items() if name in alive},
            away={name: model for name, model in models.items() if name not in alive},
            pools={name: each.met(live) for name, each in names.items()},
            live=available,
        )


@dataclass(frozen=True, slots=True)
class _Announced:
    """What was announced under a name: its model and pools, and the pool that was announced `last`; '' if that can't
    be read.
    """

    model: str
    pools: frozenset[str]
    last: str

    def met(self, live: frozenset[str]) -> frozenset[str]:
        """Return the pools that a request may meet. A worker of an earlier release announces its pool as the last."""
        return frozenset({*(self.pools & live or self.pools), self.last} - {""})


def _current(members: Iterable[tuple[bytes, float]], now: float) -> list[str]:
    return [name.decode() for name, ends_at in members if ends_at >= now]


def _models(announced: Iterable[tuple[str, bytes | None, Iterable[bytes]]]) -> Iterable[tuple[str, _Announced]]:
    for name, record, members in announced:
        if record is not None:
            pools = frozenset(map(name_of_bytes, members))
            try:
                identity = wire.decode_identity(record)
                yield name, _Announced(identity.model, pools, pool_id(identity))
            except WireError:
                # A record of a newer release; its model is served all the same.
                yield name, _Announced(name, pools, "")


def _live(heartbeats: Iterable[bytes | None]) -> Iterable[str]:
    """Yield the pools of live workers, and the first model of each: workers of earlier releases tell no pools."""
    for record in heartbeats:
        beat = None if record is None else read_or_none("heartbeat", wire.decode_heartbeat, record)
        if beat is not None:
            yield beat.model
            yield from beat.pools
