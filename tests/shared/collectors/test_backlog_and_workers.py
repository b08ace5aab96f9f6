"""The gauges of a fleet's pools, on a real server."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from rerank_producer import RerankClient
from rerank_shared.collectors.backlog_and_workers import FleetCollector
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.pools import IDENTITY, announce

pytestmark = pytest.mark.integration
SMALL = replace(IDENTITY, model="org/small", model_digest="dd")
OVER = replace(IDENTITY, model="org/over", model_digest="ee")
LASTING_S = 60.0


def pool_gauges(settings: Settings) -> dict[tuple[str, ...], float]:
    """Return the samples of the metrics of pools, by name and the values of their labels."""
    samples = [sample for family in FleetCollector(settings).collect() for sample in family.samples]
    return {(each.name, *each.labels.values()): each.value for each in samples if each.name.startswith("rerank_pool_")}


def test_each_pool_has_its_own_figures(settings: Settings, namespace: str) -> None:
    keys, soon = Keys(namespace), time.time() + LASTING_S
    with connect(settings) as server, RerankClient(settings) as client:
        big = announce(server, keys, IDENTITY, "w1", "w2", now=soon)
        small = announce(server, keys, SMALL, now=soon)
        announce(server, keys, OVER, now=soon)
        client.submit("q", ["a"], model="org/small", job_class="bulk")
        found = pool_gauges(settings)
    assert found == {
        ("rerank_pool_workers", big, "org/name"): 2,
        ("rerank_pool_workers", small, "org/small"): 0,
        ("rerank_pool_queue_jobs", big, "org/name", "interactive"): 0,
        ("rerank_pool_queue_jobs", big, "org/name", "bulk"): 0,
        ("rerank_pool_queue_jobs", small, "org/small", "interactive"): 0,
        ("rerank_pool_queue_jobs", small, "org/small", "bulk"): 1,
        ("rerank_pool_drain_seconds", big, "org/name"): 0.0,
        ("rerank_pool_drain_seconds", small, "org/small"): math.inf,
    }


def test_a_fleet_without_pools_has_none(settings: Settings) -> None:
    assert pool_gauges(settings) == {}
