"""Reads what `top` shows: the fleet and the signal, of one state of it, and the server's own words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import redis

from rerank_ops.cli.top.conditions import holding
from rerank_ops.cli.top.view import ServerView, TopView
from rerank_producer.gateway.watch.autoscale import SignalReader, autoscale_view
from rerank_producer.gateway.watch.cache_watch import CacheWatch
from rerank_producer.gateway.watch.fleet_view import view_of
from rerank_producer.gateway.watch.latency import ask_latency, read_latency
from rerank_producer.gateway.watch.route_reading import RouteReading
from rerank_shared.cache import ask_counters, read_counters
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect_async, outages_told
from rerank_shared.settings import Settings

#: A screen that stands still says less than one that tells of a silent server.
_TIMEOUT_S = 1.5


class TopReader:
    """Reads the view. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._keys = settings, Keys(settings.namespace)
        self._client: Any = connect_async(settings, timeout_s=_TIMEOUT_S)
        self._signal = SignalReader(self._client, settings)
        self._cache = CacheWatch()
        self._routes = RouteReading(self._keys)

    async def read(self) -> TopView:
        """Return the fleet as it is, at most a second old. Raises QueueUnavailable."""
        found = await self._signal.read()
        pipe = self._client.pipeline(transaction=False)
        ask_counters(pipe, self._keys)
        self._routes.ask(pipe)
        ask_latency(pipe, self._keys, found.at)
        with outages_told(self._settings, "reading the fleet"):
            counters, table, *latency = await pipe.execute()
            routes = await self._routes.views(self._client, table, found.at)
            info = await self._info()
        hits, misses = read_counters(counters)
        cache = self._cache.seen(hits, misses)
        fleet = view_of(found.state, found.model, cache, read_latency(latency, found.at), found.at, routes)
        signal = autoscale_view(found, self._settings)
        return TopView(
            fleet=fleet,
            autoscale=signal,
            redis=_server(info),
            hit_rate=hits / (hits + misses) if hits + misses else None,
            alerts=holding(fleet, signal, info),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _info(self) -> Mapping[str, Any] | None:
        # A user of the server may be forbidden to ask.
        with suppress(redis.ResponseError):
            info: Mapping[str, Any] = await self._client.info()
            return info
        return None


def _server(info: Mapping[str, Any] | None) -> ServerView | None:
    if info is None or "used_memory" not in info:
        return None
    return ServerView(
        used_bytes=int(info["used_memory"]),
        limit_bytes=int(info.get("maxmemory", 0)) or None,
        policy=str(info.get("maxmemory_policy", "unknown")),
        evicted_keys=int(info.get("evicted_keys", 0)),
    )
