"""Routes and rollouts as gauges, read from Redis at each scrape. Their labels are names that operators gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.collectors.patience import SCRAPE_TIMEOUT_S
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.routing.rollout import State
from rerank_shared.settings import Settings
from rerank_shared.watch.routes import WatchedRoute, read_routes


class RouteCollector(Collector):
    """Reads the routes at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings, timeout_s=SCRAPE_TIMEOUT_S)
        self._keys = Keys(settings.namespace)

    def describe(self) -> Iterator[Metric]:
        """Yield the gauges without values, so that registering needs no Redis server."""
        yield from _families(())

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of the routes that there are."""
        try:
            routes = read_routes(self._client, self._keys)
        except OUTAGES_AND_REFUSALS:
            return
        yield from (family for family in _families(routes) if family.samples)


def _families(routes: Sequence[WatchedRoute]) -> Iterator[Metric]:
    share = GaugeMetricFamily(
        "rerank_route_share",
        "Share of a route's requests that a model answers, 0 to 1; with stages each model answers all.",
        labels=["route", "target"],
    )
    state = GaugeMetricFamily(
        "rerank_rollout_state",
        "1 for the state of a route's last rollout, 0 for the other states; absent once somebody else has changed it.",
        labels=["route", "target", "state"],
    )
    for each in routes:
        for model, value in each.shares.items():
            share.add_metric([each.route.name, model], value)
        if (rollout := each.rollout) is not None:
            for known in get_args(State):
                state.add_metric([each.route.name, rollout.new, known], float(known == rollout.state))
    yield from (share, state)
