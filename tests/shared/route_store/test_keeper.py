"""The keeper on a real server: seeds, what it puts back, and what it tells of another host's file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.route_store.keeper import RouteKeeper
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings
from support.pools import IDENTITY, announce

pytestmark = pytest.mark.integration
MakeKeeper = Callable[[float], RouteKeeper]


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        yield RouteStore(client, Keys(settings.namespace))


@pytest.fixture
def keeper_of(settings: Settings, tmp_path: Path) -> MakeKeeper:
    """Return the keeper of a host whose file gives the route `search` so much of model b."""

    def make(weight: float) -> RouteKeeper:
        path = tmp_path / f"fleet-{weight}.toml"
        path.write_text(f"[routes.search]\nshares = {{ a = 1, b = {weight} }}\n")
        return RouteKeeper(settings.model_copy(update={"fleet_file": path}))

    return make


def share(store: RouteStore, name: str = "search") -> tuple[int, float]:
    """Return the version of a route, and the weight of its second model."""
    found = store.table().live[name]
    return found.version, found.shares[1].weight


def empty(store: RouteStore) -> None:
    for key in store.client.scan_iter(f"{store.keys.prefix}*"):
        store.client.delete(key)


def test_routes_are_seeded_once_and_a_changed_file_updates_them(store: RouteStore, keeper_of: MakeKeeper) -> None:
    for _ in range(2):
        keeper_of(1).look(store)
        assert share(store) == (1, 1.0)
    keeper_of(2).look(store)
    assert share(store) == (2, 2.0)


def test_an_operator_s_change_outlives_every_start(store: RouteStore, keeper_of: MakeKeeper) -> None:
    keeper_of(1).look(store)
    store.set(read_route("search", {"shares": {"a": 1, "b": 9}}))
    for weight in (1, 2):
        keeper_of(weight).look(store)
        assert share(store) == (2, 9.0)
    store.delete("search")
    keeper_of(1).look(store)
    assert store.table().live == {}


def test_a_redis_that_was_emptied_gets_back_what_was_known_last(
    store: RouteStore, keeper_of: MakeKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = keeper_of(1)
    keeper.look(store)
    store.set(read_route("search", {"shares": {"a": 1, "b": 9}}))
    store.set(read_route("other", {"shares": {"a": 1, "b": 2}}))
    store.set(read_route("gone", {"shares": {"a": 1}}))
    store.delete("gone")
    keeper.look(store)
    empty(store)
    keeper.look(store)
    assert share(store) == (2, 9.0)
    assert share(store, "other") == (1, 2.0)
    assert store.table().deleted("gone")
    assert "route put back name=search version=2" in caplog.text


def test_what_a_keeper_never_saw_comes_back_from_its_file(store: RouteStore, keeper_of: MakeKeeper) -> None:
    keeper = keeper_of(1)
    keeper.look(store)
    keeper._known.remember(type(store.table())())
    empty(store)
    keeper.look(store)
    assert share(store) == (1, 1.0)


def test_two_hosts_with_different_files_are_told(
    store: RouteStore, keeper_of: MakeKeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = keeper_of(1)
    monkeypatch.setattr("socket.gethostname", lambda: "host-a")
    first.look(store)
    monkeypatch.setattr("socket.gethostname", lambda: "host-b")
    keeper_of(2).look(store)
    assert "another fleet.toml, on host host-a" in caplog.text
    caplog.clear()
    for _ in range(2):
        first.look(store)
    assert share(store) == (2, 2.0)
    assert caplog.text.count("another fleet.toml, on host host-b") == 1


def test_a_route_of_a_file_that_does_not_fit_is_told_and_the_others_are_seeded(
    store: RouteStore, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.set(read_route("taken", {"shares": {"model": 1}}))
    path = tmp_path / "fleet.toml"
    path.write_text("[routes.model]\nshares = { a = 1 }\n[routes.fine]\nshares = { a = 1 }\n")
    RouteKeeper(settings.model_copy(update={"fleet_file": path})).look(store)
    assert set(store.table().live) == {"taken", "fine"}
    assert "route model of the fleet file is not taken over" in caplog.text


def test_a_record_of_a_newer_release_is_left_alone(store: RouteStore, keeper_of: MakeKeeper) -> None:
    store.client.hset(store.keys.routes, "search", b"newer")
    keeper = keeper_of(1)
    for _ in range(2):
        keeper.look(store)
    assert store.client.hget(store.keys.routes, "search") == b"newer"


def test_it_runs_as_a_thread_and_waits_for_a_server_that_is_away(
    store: RouteStore, keeper_of: MakeKeeper, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    caplog.set_level(logging.INFO)
    with keeper_of(3):
        pass
    assert share(store) == (1, 3.0)
    assert "route seeded name=search version=1" in caplog.text
    away = settings.model_copy(update={"redis_url": type(settings.redis_url)("unix:///nowhere/redis.sock")})
    with RouteKeeper(away):
        pass


def test_a_wrong_file_is_told_before_anything_starts(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text("[routes.a]\nshares = {}\n")
    with pytest.raises(ConfigurationError, match=r"routes\.a: shares"):
        RouteKeeper(settings.model_copy(update={"fleet_file": path}))


def test_a_shadow_that_is_the_live_model_by_another_name_is_told_once(
    store: RouteStore, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only workers tell which names mean one model, and they start after the routes are seeded."""
    path = tmp_path / "fleet.toml"
    path.write_text("[routes.search]\nshares = { 'org/name' = 1 }\nshadow = { alias = 0.5 }\n")
    keeper = RouteKeeper(settings.model_copy(update={"fleet_file": path}))
    keeper.look(store)
    assert not caplog.records
    announce(store.client, store.keys, IDENTITY, "w", now=server_epoch(store.client), names=["org/name", "alias"])
    for _ in range(2):
        keeper.look(store)
    own = "the shadow alias is org/name by another name, so org/name is compared with itself"
    assert [each.message for each in caplog.records] == [f"route search of the fleet file: {own}"]
