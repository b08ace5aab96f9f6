"""Routes in the clients: which model a request meets, in how many trips, and what is told when something is wrong."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import pytest

from rerank_producer import metrics
from rerank_producer._dispatch.routes.known import LOST_KEPT_S, REMEMBERED_S
from rerank_producer._dispatch.served_models import REMEMBERED_S as MODELS_REMEMBERED_S
from rerank_producer._io.port import drive
from rerank_producer.fusion import FirstStage
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, ScoringFailed, UnknownModel
from rerank_shared.routing.choice import choose
from rerank_shared.routing.route import Share
from support.in_memory import OPTIONS, Parts

QUERIES = [f"query {number}" for number in range(40)]
HALVES = {"small": 1.0, "large": 1.0}


@pytest.fixture
def parts() -> Parts:
    """A fleet of three models; `search` leads to two of them."""
    parts = Parts()
    parts.fleet.serve("small", lambda query, document: 1.0)
    parts.fleet.serve("large", lambda query, document: 2.0)
    parts.fleet.route("search", HALVES)
    return parts


def rerank(parts: Parts, query: str = "q", documents: tuple[str, ...] = ("a", "b"), **options: Any) -> RerankResponse:
    given, partial = FirstStage(list(documents)), options.pop("partial", True)
    options = OPTIONS | {"model": "search"} | options
    return drive(parts.pipeline.rerank(parts.port, query, given, options, partial=partial))


def met(query: str, shares: dict[str, float] = HALVES) -> str:
    return choose([Share(model, weight) for model, weight in shares.items()], query)


def test_a_query_meets_the_model_of_its_hash_and_the_answer_says_so(parts: Parts) -> None:
    models = set()
    for query in QUERIES:
        response = rerank(parts, query)
        assert (response.model.name, response.route, response.route_version) == (met(query), "search", 1)
        assert response.results[0].logit == {"small": 1.0, "large": 2.0}[response.model.name]
        assert response.model.digest is not None
        models.add(response.model.name)
    assert models == {"small", "large"}
    assert {job.model for job in parts.fleet.jobs} == models


def test_it_meets_that_model_s_cache(parts: Parts) -> None:
    first, second = rerank(parts), rerank(parts)
    assert first.model == second.model
    assert second.usage.pairs_cached == 2


def test_a_request_that_names_a_model_is_none_of_a_route(parts: Parts) -> None:
    response = rerank(parts, model="small")
    assert (response.model.name, response.route, response.route_version) == ("small", None, None)


def test_a_route_costs_one_trip_at_first_and_none_later(parts: Parts) -> None:
    rerank(parts, model="small")
    by_name = list(parts.port.trips)
    other = Parts()
    other.fleet.serve("small", lambda query, document: 1.0)
    other.fleet.route("search", {"small": 1.0})
    rerank(other)
    assert other.port.trips == ["pipeline", *by_name]
    rerank(other)
    parts.port.trips.clear()
    rerank(parts, model="small")
    assert other.port.trips[len(by_name) + 1 :] == parts.port.trips == ["lookup"]


def test_routes_are_read_in_the_look_up_s_own_trip_each_few_seconds(parts: Parts) -> None:
    asked: list[str] = []
    ask = parts.fleet._server.ask

    def noted(fill: Any, doing: str) -> list[Any]:
        def fill_and_note(pipe: Any) -> None:
            plain = pipe.hgetall

            def hgetall(name: str) -> None:
                asked.append(name)
                plain(name)

            pipe.hgetall = hgetall
            fill(pipe)

        return ask(fill_and_note, doing)

    parts.fleet._server.ask = noted  # type: ignore[method-assign]
    for _ in range(3):
        rerank(parts, "one")
    routes = parts.pipeline.keys.routes
    assert asked.count(routes) == 1
    parts.fleet.advance(REMEMBERED_S + 0.1)
    parts.port.trips.clear()
    for _ in range(3):
        rerank(parts, "one")
    assert asked.count(routes) == 2
    assert parts.port.trips == ["lookup"] * 3


def test_a_changed_route_holds_within_seconds_and_the_query_s_new_model_is_asked(parts: Parts) -> None:
    query = next(query for query in QUERIES if met(query) == "small")
    assert rerank(parts, query).model.name == "small"
    parts.fleet.route("search", {"large": 1.0})
    assert rerank(parts, query).model.name == "small"
    parts.fleet.advance(REMEMBERED_S + 0.1)
    response = rerank(parts, query)
    assert (response.model.name, response.route_version) == ("large", 2)
    assert response.results[0].logit == 2.0


def test_a_route_that_leaves_a_model_before_it_goes_fails_no_request(parts: Parts) -> None:
    query = next(query for query in QUERIES if met(query) == "small")
    rerank(parts, query)
    parts.fleet.route("search", {"large": 1.0})
    store, keys = parts.fleet._server.store, parts.pipeline.keys
    parts.fleet._server.before = lambda: None
    store.end(keys.identity("small"))
    del store.table(keys.models)[b"small"]
    parts.fleet.advance(max(REMEMBERED_S, MODELS_REMEMBERED_S) + 0.1)
    store.table(keys.models)[parts.model.encode()] = math.inf
    assert rerank(parts, query, deadline_ms=100).model.name == "large"


def test_a_new_route_is_known_at_once(parts: Parts) -> None:
    rerank(parts)
    parts.fleet.route("fresh", {"small": 1.0})
    assert rerank(parts, model="fresh").route == "fresh"


def test_a_route_of_a_model_s_own_name_takes_its_requests(parts: Parts) -> None:
    assert rerank(parts, model="large").model.name == "large"
    parts.fleet.route("large", {"small": 1.0})
    parts.fleet.advance(REMEMBERED_S + 0.1)
    response = rerank(parts, model="large")
    assert (response.model.name, response.route) == ("small", "large")


def test_the_model_of_the_settings_may_be_a_route() -> None:
    parts = Parts(model="served")
    parts.fleet.route("default", {"served": 1.0})
    parts.pipeline.settings = parts.pipeline.settings.model_copy(update={"model": "default"})
    response = rerank(parts, model=None)
    assert (response.model.name, response.route) == ("served", "default")


def test_the_route_s_limits_hold_where_the_request_is_silent(parts: Parts) -> None:
    limits = {"top_n": 1, "max_length": 16, "deadline_ms": 50.0, "bulk_deadline_ms": 70.0}
    parts.fleet.route("search", HALVES, limits=limits)
    assert len(rerank(parts).results) == 1
    assert len(rerank(parts, top_n=2).results) == 2
    assert parts.fleet.jobs[0].deadline_ms == pytest.approx(50)
    assert rerank(parts, documents=("word " * 40,)).results[0].tokens == 16
    rerank(parts, "bulk", job_class="bulk")
    rerank(parts, "own", deadline_ms=90.0)
    assert [round(job.deadline_ms) for job in parts.fleet.jobs[-2:]] == [70, 90]


def test_a_length_of_the_route_beyond_a_model_s_is_lowered_and_one_of_the_request_refused(parts: Parts) -> None:
    parts.fleet.route("search", HALVES, limits={"max_length": 4_096})
    rerank(parts)
    assert parts.fleet.jobs[-1].max_length == 512
    with pytest.raises(InvalidRequest, match=r"max_length: 513 .*route 'search', version 2"):
        rerank(parts, max_length=513)


def test_a_submitted_request_keeps_the_route_that_it_was_sent_by(parts: Parts) -> None:
    with parts.fleet.client() as client:
        handle = client.submit("q", ["a"], model="search")
        parts.fleet.route("search", {"small": 1.0, "large": 3.0})
        parts.fleet.delete_route("search")
        response = client.collect(handle)
    assert (response.model.name, response.route, response.route_version) == (met("q"), "search", 1)


def test_model_info_of_a_route_is_that_of_its_largest_share(parts: Parts) -> None:
    parts.fleet.route("search", {"small": 1.0, "large": 3.0, "dead": 2.0})
    with parts.fleet.client() as client:
        assert client.model_info("search") == client.model_info("large")
        parts.fleet.route("dead", {"absent": 1.0})
        with pytest.raises(UnknownModel, match=r"'absent' .*\(route 'dead', version 1"):
            parts.fleet.client().model_info("dead")


def test_who_needs_one_model_takes_a_route_to_one_and_no_other(parts: Parts) -> None:
    def sole(name: str) -> str:
        return drive(parts.pipeline.lookup.sole_model(parts.port, name))

    parts.fleet.route("one", {"large": 1.0})
    assert (sole("one"), sole("small")) == ("large", "small")
    with pytest.raises(InvalidRequest, match="'search' is a route to small, large, and one model is needed"):
        sole("search")


async def test_so_it_is_on_an_event_loop(parts: Parts) -> None:
    async with parts.fleet.async_client() as client:
        responses = await asyncio.gather(*(client.rerank(query, ["a"], model="search") for query in QUERIES))
    assert [response.model.name for response in responses] == [met(query) for query in QUERIES]


def test_requests_are_counted_by_route_and_model(parts: Parts) -> None:
    def count(model: str) -> float:
        return float(metrics.ROUTED_REQUESTS.labels("search", model)._value.get())

    before = count("small") + count("large")
    rerank(parts)
    with pytest.raises(UnknownModel):
        rerank(parts, model="nobody")
    assert count("small") + count("large") == before + 1
    labels = {
        tuple(sample.labels.values()) for family in metrics.ROUTED_REQUESTS.collect() for sample in family.samples
    }
    assert not any("nobody" in each for each in labels)


# What goes wrong, and what the caller sees of it.


def test_a_name_that_is_neither_model_nor_route_is_told_with_both(parts: Parts) -> None:
    with pytest.raises(UnknownModel, match=r"'serch' is not served .*large.*; its routes are search"):
        rerank(parts, model="serch")


def test_a_model_that_nobody_serves_is_told_with_its_route(parts: Parts) -> None:
    parts.fleet.route("search", {"absent": 1.0})
    with pytest.raises(UnknownModel, match=r"\(route 'search', version 2, sends this query to 'absent'\)"):
        rerank(parts)


def test_without_a_live_worker_the_late_error_names_route_and_model(parts: Parts) -> None:
    rerank(parts)
    parts.fleet.workers = 0
    with pytest.raises(DeadlineExceeded, match=rf"\(route 'search', version 1, sends this query to '{met('other')}'\)"):
        rerank(parts, "other", partial=False, deadline_ms=100)
    response = rerank(parts, "other", deadline_ms=100)
    assert (response.complete, response.route) == (False, "search")


def test_a_worker_s_error_names_it_too_and_so_does_that_of_a_submitted_request(parts: Parts) -> None:
    parts.fleet.fail_with(ScoringFailed("no"), times=2)
    with pytest.raises(ScoringFailed, match=r"^no \(route 'search'"):
        rerank(parts)
    with parts.fleet.client() as client, pytest.raises(ScoringFailed, match=r"^no \(route 'search'"):
        client.collect(client.submit("q", ["a"], model="search"))


def test_a_deleted_route_ends_within_seconds_and_what_runs_is_answered(parts: Parts) -> None:
    parts.fleet.be_late(1.0)
    parts.fleet.after(0.5, lambda: parts.fleet.delete_route("search"))
    assert rerank(parts).complete
    parts.fleet.advance(max(REMEMBERED_S, MODELS_REMEMBERED_S) + 0.1)
    with pytest.raises(UnknownModel, match="'search' is not served"):
        rerank(parts)


def test_a_route_that_changes_under_a_request_leaves_it_its_model(parts: Parts) -> None:
    query = next(query for query in QUERIES if met(query) == "small")
    parts.fleet.be_late(1.0)
    parts.fleet.after(0.5, lambda: parts.fleet.route("search", {"large": 1.0}))
    response = rerank(parts, query)
    assert (response.model.name, response.route_version, response.complete) == ("small", 1, True)


def test_a_lost_route_goes_on_for_a_while_and_that_is_logged_once(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    rerank(parts)
    parts.fleet.lose_routes()
    for _ in range(3):
        parts.fleet.advance(REMEMBERED_S + 0.1)
        assert rerank(parts).route == "search"
    assert caplog.text.count("route lost in Redis name=search") == 1
    parts.fleet.advance(LOST_KEPT_S)
    with pytest.raises(UnknownModel):
        rerank(parts)


def test_a_lost_route_that_comes_back_may_be_lost_again(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        parts.fleet.route("search", HALVES)
        parts.fleet.advance(REMEMBERED_S + 0.1)
        rerank(parts)
        parts.fleet.lose_routes()
        parts.fleet.advance(REMEMBERED_S + 0.1)
        assert rerank(parts).route == "search"
    assert caplog.text.count("route lost in Redis") == 2


@pytest.mark.parametrize("record", [b"\x93\x63\xa5route\x90", b"rubbish"], ids=["a newer release's", "rubbish"])
def test_a_record_that_can_not_be_read_counts_as_absent(
    parts: Parts, record: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rerank_shared.contract.unreadable._told", set())
    caplog.set_level(logging.WARNING)
    parts.fleet._server.store.table(parts.pipeline.keys.routes)[b"other"] = record
    parts.fleet._server.store.table(parts.pipeline.keys.routes)[b"third"] = record
    assert rerank(parts).route == "search"
    with pytest.raises(UnknownModel, match="'other' is not served"):
        rerank(parts, model="other")
    assert caplog.text.count("unreadable route in Redis") == 1


def test_while_redis_is_away_the_route_known_last_says_whose_cost_and_cache_it_is(parts: Parts) -> None:
    rerank(parts)
    parts.fleet.go_away()
    found = drive(parts.pipeline.lookup.run(parts.port, parts.request("q", ["a"]), "search"))
    assert (found.target.model, found.target.route_version) == (met("q"), 1)
    assert found.identity is not None
