"""Routes on a real server: each change is one step and a version, and whoever loses a race is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rerank_shared.errors import ConfigurationError, RouteChanged
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import DELETED_KEPT_S, RouteStore, forgotten
from rerank_shared.routing.route import KEPT_VERSIONS, MAX_ROUTES, Route
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings
from support.queue.full_server import BINARIES, fill_up, small_server

pytestmark = pytest.mark.integration


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        yield RouteStore(client, Keys(settings.namespace))


def route(weight: float = 1, name: str = "search", model: str = "a") -> Route:
    return read_route(name, {"shares": {model: weight, "rest": 1}})


def weight(store: RouteStore, name: str = "search") -> float:
    return store.table().live[name].shares[0].weight


def test_a_route_has_a_version_for_each_change(store: RouteStore) -> None:
    assert store.set(route(1)).version == 1
    assert store.set(route(2)).version == 2
    found = store.table().live["search"]
    assert (found.version, found.shares) == (2, route(2).shares)
    assert [record.version for record in store.versions("search")] == [2, 1]
    assert store.version("search", 1).shares == route(1).shares


def test_so_many_old_versions_are_kept(store: RouteStore) -> None:
    for number in range(KEPT_VERSIONS + 3):
        store.set(route(number + 1))
    kept = [record.version for record in store.versions("search")]
    assert kept == list(range(KEPT_VERSIONS + 3, 3, -1))
    assert store.rollback("search", 4).shares == route(4).shares
    with pytest.raises(ConfigurationError, match=r"no version 3; kept are: 24, 23"):
        store.rollback("search", 3)


def test_an_expected_version_that_is_not_there_changes_nothing(store: RouteStore) -> None:
    store.set(route(1), if_version=0)
    store.set(route(2), if_version=1)
    for change in (
        lambda: store.set(route(3), if_version=1),
        lambda: store.delete("search", if_version=1),
        lambda: store.rollback("search", if_version=1),
    ):
        with pytest.raises(RouteChanged, match=r"has version 2, set by operator on .*, not version 1"):
            change()
    with pytest.raises(RouteChanged, match="is not there, not version 4"):
        store.set(route(1, "other"), if_version=4)
    assert weight(store) == 2


def test_a_write_on_what_was_read_before_another_s_is_refused(store: RouteStore) -> None:
    before = store.table()
    store.set(route(1))
    record = store.versions("search")[0]
    assert not store.write(record, before)
    assert store.write(record, store.table())


def test_changes_at_once_are_all_made_one_after_another(store: RouteStore, settings: Settings) -> None:
    def change(number: int) -> None:
        with connect(settings) as client:
            RouteStore(client, store.keys).set(route(number))

    threads = [threading.Thread(target=change, args=(number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = store.versions("search")
    assert [record.version for record in versions] == [5, 4, 3, 2, 1]
    assert len({record.spec for record in versions}) == 5


def test_a_deleted_route_is_gone_and_can_be_brought_back(store: RouteStore) -> None:
    store.set(route(1))
    store.set(route(2))
    assert store.delete("search") == 3
    table = store.table()
    assert (dict(table.live), table.deleted("search"), table.version("search")) == ({}, True, 3)
    with pytest.raises(ConfigurationError, match="there is no route"):
        store.delete("search")
    back = store.rollback("search")
    assert (back.version, back.shares) == (4, route(2).shares)


def test_a_name_that_was_never_there_can_be_neither_deleted_nor_rolled_back(store: RouteStore) -> None:
    store.set(route(1))
    with pytest.raises(ConfigurationError, match=r"there is no route 'serch'; did you mean search\?"):
        store.delete("serch")
    with pytest.raises(ConfigurationError, match="kept are: none"):
        store.rollback("serch")


def test_what_was_deleted_long_ago_is_forgotten_with_its_versions(
    store: RouteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "young"):
        store.set(route(1, name))
    store.delete("old")
    record = store.table().records["old"]
    assert not forgotten(record, record.set_at + DELETED_KEPT_S - 1)
    monkeypatch.setattr("rerank_shared.route_store.store.DELETED_KEPT_S", -1.0)
    store.delete("young")
    assert "old" not in store.table().raw
    assert store.versions("old") == []


def test_a_route_names_models_only_and_no_model_of_a_route_becomes_one(store: RouteStore) -> None:
    store.set(route(1))
    with pytest.raises(ConfigurationError, match="'search' is a route too"):
        store.set(route(1, "other", model="search"))
    with pytest.raises(ConfigurationError, match="route 'search' names 'a' as a model"):
        store.set(route(1, "a", model="b"))


def test_there_are_so_many_routes_at_most(store: RouteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ROUTES > 1
    monkeypatch.setattr("rerank_shared.route_store.store.MAX_ROUTES", 1)
    store.set(route(1))
    with pytest.raises(ConfigurationError, match="there are 1 routes, and 1 are the limit"):
        store.set(route(1, "other"))
    store.set(route(2))


@pytest.mark.parametrize("record", [b"\x93\x63\xa5route\x90", b"rubbish", b""])
def test_a_record_that_can_not_be_read_counts_as_absent_and_is_replaced_by_the_next_version(
    store: RouteStore, record: bytes
) -> None:
    store.set(route(1))
    store.set(route(2, "other"))
    store.client.hset(store.keys.routes, "search", record)
    table = store.table()
    assert (list(table.live), table.unreadable) == (["other"], ["search"])
    with pytest.raises(RouteChanged, match="can't read, not version 1"):
        store.set(route(3), if_version=1)
    assert store.set(route(3)).version == 2


def test_a_file_s_route_is_never_written_over_an_operator_s_or_an_unreadable_one(store: RouteStore) -> None:
    first = store.seed(route(1))
    assert first is not None
    assert first.version == 1
    assert store.table().records["search"].set_by == "file"
    store.set(route(2))
    assert store.seed(route(3)) is None
    store.client.hset(store.keys.routes, "search", b"newer")
    assert store.seed(route(3)) is None
    assert store.client.hget(store.keys.routes, "search") == b"newer"


@pytest.mark.parametrize("binary", BINARIES)
def test_a_server_at_its_memory_limit_takes_a_change(binary: str) -> None:
    with small_server(binary) as server, connect(load_settings(redis_url=server.url, namespace="full")) as client:
        store = RouteStore(client, Keys("full"))
        store.set(route(1))
        fill_up(client, store.keys)
        assert store.set(route(2)).version == 2
        assert store.rollback("search").shares == route(1).shares
