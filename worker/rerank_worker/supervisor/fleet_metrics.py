"""Fleet metrics: gauges of the backlog, the workers and the predicted drain time, read from Redis at each scrape.

`rerank_predicted_drain_seconds` is the signal for autoscalers. Jobs that workers hold are counted, so the queue never
looks empty while workers hold its jobs. A Redis server that is away or refuses shows as rerank_redis_up 0, never as an
empty queue.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rerank_shared.contract.messages import name_of
from rerank_shared.fleet import FleetState, read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.settings import Settings


class FleetCollector(Collector):
    """Reads the fleet's state at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings)
        self._keys = Keys(settings.namespace)
        self._model = name_of(settings.model)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges without values, so that registering needs no Redis server."""
        yield from _families(None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges with their current values."""
        try:
            state: FleetState | None = read_state(self._client, self._keys, self._model, time.time())
        except OUTAGES_AND_REFUSALS:
            state = None
        yield GaugeMetricFamily(
            "rerank_redis_up", "1 if Redis answered without a refusal, else 0.", value=float(state is not None)
        )
        if state is not None:
            yield from _families(state)


def _families(state: FleetState | None) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily("rerank_queue_jobs", "Unanswered jobs.", labels=["class", "state"])
    tokens = GaugeMetricFamily("rerank_queue_tokens", "Estimated tokens of unanswered jobs.", labels=["class"])
    for job_class, backlog in state.backlog.items() if state else ():
        jobs.add_metric([job_class, "queued"], backlog.queued_jobs)
        jobs.add_metric([job_class, "held"], backlog.held_jobs)
        tokens.add_metric([job_class], backlog.tokens)
    yield jobs
    yield tokens
    yield _gauge("rerank_workers", "Live worker processes.", float(len(state.workers)) if state else None)
    yield _gauge(
        "rerank_fleet_tokens_per_second", "Measured rate of all live processes.", state.tokens_per_s if state else None
    )
    yield _gauge(
        "rerank_predicted_drain_seconds",
        "Predicted seconds until the backlog is done; with no live process, the seconds that one would need.",
        state.predicted_drain_s if state else None,
    )


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
