"""The gauges of routes and rollouts, on a real server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_ops.rollout.record import Records
from rerank_shared.collectors.routes import RouteCollector
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Plan
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration


def gauges(settings: Settings) -> dict[tuple[str, ...], float]:
    """Return the samples that are not 0, by name and the values of their labels."""
    samples = [sample for family in RouteCollector(settings).collect() for sample in family.samples]
    return {(each.name, *each.labels.values()): each.value for each in samples if each.value}


def test_shares_and_the_state_of_a_rollout(settings: Settings, keys: Keys) -> None:
    assert gauges(settings) == {}
    with connect(settings) as client:
        store, records = RouteStore(client, keys), Records(client, keys, "search")
        store.set(read_route("search", {"shares": {"a": 19, "b": 1}}))
        stages = [{"model": "a"}, {"model": "b", "keep": 3}]
        store.set(read_route("staged", {"shares": {"a": 1}, "stages": stages}))
        shares = {
            ("rerank_route_share", "search", "a"): 0.95,
            ("rerank_route_share", "search", "b"): 0.05,
            ("rerank_route_share", "staged", "a"): 1.0,
            ("rerank_route_share", "staged", "b"): 1.0,
        }
        assert gauges(settings) == pytest.approx(shares)
        record = Record("search", "a", "b", Plan(), (1,), "holding", step=0)
        records.write(record)
        assert gauges(settings) == pytest.approx(shares | {("rerank_rollout_state", "search", "b", "holding"): 1.0})
        records.write(replace(record, state="returned"))
        assert ("rerank_rollout_state", "search", "b", "returned") in gauges(settings)
        # Somebody else changes the route, then nobody has it.
        store.set(read_route("search", {"shares": {"c": 1}}))
        assert gauges(settings)["rerank_route_share", "search", "c"] == 1.0
        assert not [name for name in gauges(settings) if name[0] == "rerank_rollout_state"]
        store.delete("search")
        assert {name[1] for name in gauges(settings)} == {"staged"}


def test_a_change_that_a_rollout_has_made_and_not_noted_is_its_own(settings: Settings, keys: Keys) -> None:
    with connect(settings) as client:
        store, records = RouteStore(client, keys), Records(client, keys, "search")
        store.set(read_route("search", {"shares": {"a": 1}}))
        record = Record("search", "a", "b", Plan((5.0, 100.0)), (1,), "moving")
        records.write(record)
        store.set(read_route("search", {"shares": {"a": 95, "b": 5}}))
        assert ("rerank_rollout_state", "search", "b", "moving") in gauges(settings)


def test_what_another_release_wrote_is_no_rollout(settings: Settings, keys: Keys) -> None:
    with connect(settings) as client:
        RouteStore(client, keys).set(read_route("search", {"shares": {"a": 1}}))
        client.set(keys.rollout("search"), b'{"route": "search", "new": 1}')
    assert gauges(settings) == {("rerank_route_share", "search", "a"): 1.0}


def test_a_server_that_is_away_tells_nothing() -> None:
    assert gauges(load_settings(redis_url="redis://127.0.0.1:1/0")) == {}
