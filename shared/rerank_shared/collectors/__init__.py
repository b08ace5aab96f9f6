"""Collectors: gauges for Prometheus that are read from Redis at each scrape, for whichever process serves /metrics."""

from prometheus_client.registry import Collector

from rerank_shared.collectors.backlog_and_workers import FleetCollector
from rerank_shared.collectors.feedback import FeedbackCollector
from rerank_shared.collectors.redis_server import RedisCollector
from rerank_shared.collectors.routes import RouteCollector
from rerank_shared.collectors.scoring import ScoringCollector
from rerank_shared.settings import Settings


def all_collectors(settings: Settings) -> list[Collector]:
    """Return the collectors of the fleet and its server. None of them connects before it is asked."""
    kinds = (FleetCollector, RedisCollector, ScoringCollector, RouteCollector, FeedbackCollector)
    return [kind(settings) for kind in kinds]
