"""What a file means for the routes in Redis: it fills and updates, and never overwrites an operator."""

from __future__ import annotations

from rerank_shared.contract import wire
from rerank_shared.contract.messages import RouteRecord
from rerank_shared.route_store.seeding import LastKnown, differences, steps
from rerank_shared.route_store.table import RouteTable, read_table
from rerank_shared.routing.route import Route
from rerank_shared.routing.spec import digest_of, read_route, to_text

HERE, THERE = "host-a", "host-b"


def route(weight: float) -> Route:
    return read_route("search", {"shares": {"a": 1, "b": weight}})


def table(live: Route | None, *, set_by: str = "file", host: str = HERE, file: Route | None = None) -> RouteTable:
    spec = "" if live is None else to_text(live)
    record = RouteRecord("search", 3, spec, set_by, host, 1_000.0, "" if file is None else digest_of(file))
    return read_table({b"search": wire.encode_route(record)})


def kinds(wanted: Route, found: RouteTable) -> list[tuple[str, bool]]:
    return [(step.kind, bool(step.says)) for step in steps({"search": wanted}, found, HERE)]


def test_what_is_absent_is_seeded() -> None:
    assert kinds(route(1), RouteTable()) == [("seed", False)]


def test_what_was_taken_over_stays_whoever_went_on_from_there() -> None:
    assert kinds(route(1), table(route(1), file=route(1))) == [("same", False)]
    assert kinds(route(1), table(route(9), set_by="operator", file=route(1))) == [("same", False)]
    assert kinds(route(1), table(None, set_by="operator", file=route(1))) == [("same", False)]
    assert kinds(route(1), table(route(1), set_by="operator")) == [("same", False)]


def test_a_file_that_changed_updates_what_a_file_wrote() -> None:
    assert kinds(route(2), table(route(1), file=route(1))) == [("update", False)]


def test_another_host_s_file_is_replaced_and_told() -> None:
    found = table(route(1), file=route(1), host=THERE)
    assert kinds(route(2), found) == [("update", True)]
    (told,) = differences({"search": route(2)}, found).values()
    assert "another fleet.toml, on host host-b" in told


def test_an_operator_s_route_stays_and_the_difference_is_told() -> None:
    found = table(route(1), set_by="operator", file=route(5))
    assert kinds(route(2), found) == [("keep", True)]
    assert "an operator set on host host-a, differs and stays" in differences({"search": route(2)}, found)["search"]
    assert kinds(route(2), table(None, set_by="operator", file=route(5))) == [("keep", True)]


def test_a_record_of_a_newer_release_stays() -> None:
    assert kinds(route(1), read_table({b"search": b"newer"})) == [("keep", True)]


def test_lost_routes_are_those_that_were_seen_and_not_deleted() -> None:
    known = LastKnown()
    assert known.lost(table(route(1))) == []
    known.remember(table(route(1)))
    assert [record.version for record in known.lost(RouteTable())] == [3]
    assert known.lost(table(None, set_by="operator")) == []
    assert known.lost(read_table({b"search": b"newer"})) == []
