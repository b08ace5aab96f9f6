"""Fleet metrics: gauges of the backlog, the workers and the signal for autoscalers, read from Redis at each scrape.

Supervisors and gateways have the same, so that they live on when the fleet is scaled to 0: take the maximum over all
instances, not the sum. Jobs that workers hold are counted, so the queue never looks empty while workers hold its jobs.
A Redis server that is away or refuses shows as rerank_redis_up 0, never as an empty queue.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.collectors.patience import SCRAPE_TIMEOUT_S
from rerank_shared.fleet_state import FleetState
from rerank_shared.keys import JOB_CLASSES
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import AutoscaleSignal, read_signal


class FleetCollector(Collector):
    """Reads the fleet's signal at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings, timeout_s=SCRAPE_TIMEOUT_S)
        self._settings = settings

    def describe(self) -> Iterator[Metric]:
        """Yield the gauges without values, so that registering needs no Redis server."""
        yield _up(None)
        yield from _families(None)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges with their current values; rerank_redis_up 0 alone where Redis gives none."""
        try:
            signal: AutoscaleSignal | None = read_signal(self._client, self._settings)
        except OUTAGES_AND_REFUSALS:
            signal = None
        yield _up(signal is not None)
        yield from (family for family in _families(signal) if family.samples)


def _up(answered: bool | None) -> Metric:
    return _gauge("rerank_redis_up", "1 if Redis answered without a refusal, else 0.", answered)


def _families(signal: AutoscaleSignal | None) -> Iterator[Metric]:
    state = signal.state if signal else None
    yield from _queues(signal)
    yield from _pools(state)
    yield _gauge("rerank_workers", "Live worker processes.", len(state.workers) if state else None)
    yield _gauge(
        "rerank_fleet_tokens_per_second",
        "Measured rate of all live processes together, while they run.",
        state.tokens_per_s if state else None,
    )
    yield _gauge(
        "rerank_predicted_drain_seconds",
        "Predicted seconds until the backlog is done; with no live process, the seconds that one would need; infinite "
        "while no process has measured what work costs.",
        state.predicted_drain_s if state else None,
    )
    yield _gauge(
        "rerank_processes_busy",
        "Worker processes that ran work, mean of the last half minute.",
        signal.busy if signal else None,
    )
    yield _gauge(
        "rerank_processes_wanted",
        "Worker processes that the fleet should have, by its backlog and its load.",
        signal.wanted.processes if signal else None,
    )


def _queues(signal: AutoscaleSignal | None) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("rerank_queue_jobs", "Unanswered jobs.", labels=["class", "state"])
    tokens = GaugeMetricFamily("rerank_queue_tokens", "Estimated tokens of unanswered jobs.", labels=["class"])
    age = GaugeMetricFamily(
        "rerank_queue_oldest_age_seconds", "Age of the oldest unanswered job, 0 without any.", labels=["class"]
    )
    drain = GaugeMetricFamily(
        "rerank_queue_drain_seconds",
        "Predicted seconds until the backlog of this class is done, if it were alone; infinite while nobody knows.",
        labels=["class"],
    )
    if signal is not None:
        for job_class, backlog in signal.state.backlog.items():
            jobs.add_metric([job_class, "queued"], backlog.queued_jobs)
            jobs.add_metric([job_class, "held"], backlog.held_jobs)
            tokens.add_metric([job_class], backlog.tokens)
            drain.add_metric([job_class], signal.state.drain_s(job_class))
            oldest_s = backlog.oldest_age_s(signal.at)
            if oldest_s is not None or not backlog.jobs:
                age.add_metric([job_class], oldest_s or 0.0)
    yield from (jobs, tokens, age, drain)


def _pools(state: FleetState | None) -> Iterator[Metric]:
    workers = GaugeMetricFamily("rerank_pool_workers", "Live worker processes of a pool.", labels=["pool", "model"])
    jobs = GaugeMetricFamily("rerank_pool_queue_jobs", "Unanswered jobs of a pool.", labels=["pool", "model", "class"])
    drain = GaugeMetricFamily(
        "rerank_pool_drain_seconds",
        "Predicted seconds until the backlog of a pool is done, without the jobs of other pools; as "
        "rerank_predicted_drain_seconds.",
        labels=["pool", "model"],
    )
    for pool in () if state is None else state.pools:
        labels = [pool.id, pool.model or ""]
        workers.add_metric(labels, len(pool.workers))
        drain.add_metric(labels, pool.drain_s(*JOB_CLASSES))
        for job_class, backlog in pool.backlog.items():
            jobs.add_metric([*labels, job_class], backlog.jobs)
    yield from (workers, jobs, drain)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    return GaugeMetricFamily(name, text, value=None if value is None else float(value))
