"""The server's own numbers that decide whether the fleet's cache and queue fit: memory, limit, evictions, cache size.

What the server refuses to tell, as managed ones do, is absent: a 0 would be taken for an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.cache import SAMPLED_KEYS, ask_sample, sampled_bytes
from rerank_shared.collectors.patience import SCRAPE_TIMEOUT_S
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.settings import Settings


class RedisCollector(Collector):
    """Reads the server's numbers at each scrape, in two round trips."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings, timeout_s=SCRAPE_TIMEOUT_S)
        self._keys = Keys(settings.namespace)

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, so that registering needs no Redis server."""
        yield from _families({}, {}, None, None)

    def collect(self) -> Iterator[Metric]:
        """Yield those metrics that the server tells."""
        pipe = self._client.pipeline(transaction=False)
        pipe.info("memory")
        pipe.info("stats")
        pipe.zcard(self._keys.dead_index)
        ask_sample(pipe)
        try:
            memory, stats, dead, *sample = pipe.execute(raise_on_error=False)
            cached = sampled_bytes(self._client, self._keys, sample)
        except OUTAGES_AND_REFUSALS:
            return
        yield from (family for family in _families(_told(memory), _told(stats), dead, cached) if family.samples)


def _told(section: Any) -> Mapping[str, Any]:
    """Return a section of INFO; empty where the server refused it."""
    return section if isinstance(section, dict) else {}


def _families(memory: Mapping[str, Any], stats: Mapping[str, Any], dead: Any, cached: int | None) -> Iterator[Metric]:
    yield _gauge("rerank_redis_memory_used_bytes", "Memory that the server uses.", memory.get("used_memory"))
    # 0 is no limit.
    limit = memory.get("maxmemory") or None
    yield _gauge("rerank_redis_memory_limit_bytes", "Memory that the server may use; absent without a limit.", limit)
    evicted = CounterMetricFamily("rerank_redis_evicted_keys", "Keys that the server evicted at its memory limit.")
    if isinstance(found := stats.get("evicted_keys"), int):
        evicted.add_metric([], found)
    yield evicted
    yield _gauge(
        "rerank_cache_estimated_bytes",
        f"Memory of the cached scores, by a sample of {SAMPLED_KEYS} keys; 0 where none of them is a score.",
        cached,
    )
    yield _gauge("rerank_dead_letters", "Jobs that are set aside now: `rerank-fleet dead list`.", dead)


def _gauge(name: str, text: str, value: Any) -> Metric:
    family = GaugeMetricFamily(name, text)
    if isinstance(value, int):
        family.add_metric([], value)
    return family
