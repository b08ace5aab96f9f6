"""Routes over HTTP, on a gateway with a file of its own: seeded, listed, answered by, changed, deleted, lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import StartFleet, StartGateway
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
MODEL = "cross-encoder/ms-marco-MiniLM-L-12-v2"
ASKED: dict[str, Any] = {"query": "q", "documents": ["a", "b", "c"]}


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        yield RouteStore(client, Keys(settings.namespace))


@pytest.fixture
def http(
    start_fleet: StartFleet, start_gateway: StartGateway, settings: Settings, tmp_path: Path
) -> Iterator[httpx.Client]:
    """A gateway whose file has the route `search` to the served model, with defaults."""
    path = tmp_path / "fleet.toml"
    path.write_text(f'[routes.search]\nabout = "pages"\nshares = {{ "{MODEL}" = 1 }}\nlimits = {{ top_n = 2 }}\n')
    start_fleet()
    gateway = start_gateway(settings.model_copy(update={"fleet_file": path}))
    with gateway.wait_ready().client() as client:
        wait_until(lambda: client.get("/v1/models/search").json().get("id") == "search", "the route is seeded")
        yield client


def rerank(http: httpx.Client, **more: Any) -> httpx.Response:
    return http.post("/v1/fleet/rerank", json={**ASKED, "model": "search", **more})


def test_a_route_answers_with_its_model_and_its_defaults(http: httpx.Client, store: RouteStore) -> None:
    answer = rerank(http)
    body = answer.json()
    assert (body["route"], body["route_version"], body["model"]["name"]) == ("search", 1, MODEL)
    assert len(body["results"]) == 2
    assert (answer.headers["x-rerank-route"], answer.headers["x-rerank-model"]) == ("search; version=1", MODEL)
    by_name = rerank(http, model=MODEL)
    assert (by_name.json()["route"], "x-rerank-route" in by_name.headers) == (None, False)
    assert len(rerank(http, model=MODEL).json()["results"]) == 3
    listed = {each["id"]: each for each in http.get("/v1/models").json()["data"]}
    assert listed[MODEL]["route"] is None
    targets = [{"model": MODEL, "percent": 100.0}]
    assert listed["search"]["route"] == {"version": 1, "about": "pages", "targets": targets, "stages": []}
    assert (listed["search"]["root"], listed["search"]["digest"]) == (MODEL, listed[MODEL]["digest"])
    metrics = http.get("/metrics").text
    assert f'rerank_routed_requests_total{{route="search",target="{MODEL}"}} 1.0' in metrics


def test_changes_reach_callers_by_the_next_look(http: httpx.Client, store: RouteStore) -> None:
    store.set(read_route("search", {"shares": {"nobody": 1}}))
    wait_until(lambda: rerank(http).status_code == 404, "the change is seen")
    error = rerank(http).json()["error"]
    assert error["code"] == "unknown_model"
    assert "(route 'search', version 2, sends this query to 'nobody')" in error["message"]
    assert http.get("/v1/models").status_code == 200
    sent = http.post("/v1/jobs", json={**ASKED, "model": "search"})
    assert sent.status_code == 404
    store.rollback("search")
    wait_until(lambda: rerank(http).status_code == 200, "the roll-back is seen")
    assert rerank(http).json()["route_version"] == 3


def test_a_deleted_route_is_a_name_like_any_other(http: httpx.Client, store: RouteStore) -> None:
    store.delete("search")
    # The only model that is served answers for every name.
    wait_until(lambda: rerank(http).json()["route"] is None, "the deletion is seen")
    answer = http.post("/v2/rerank", json={**ASKED, "model": "search"})
    assert "'search' is not served here" in answer.text


def test_a_redis_that_lost_the_routes_has_them_back_and_no_request_fails(http: httpx.Client, store: RouteStore) -> None:
    store.set(read_route("search", {"shares": {MODEL: 5}}))
    wait_until(lambda: rerank(http).json()["route_version"] == 2, "the change is seen")

    def kept_by_the_gateway() -> bool:
        assert rerank(http).status_code == 200
        store.client.delete(store.keys.routes)
        return bool(rerank(http).json()["route"] == "search")

    assert kept_by_the_gateway()
    wait_until(lambda: store.table().version("search") > 0, "the route is put back", bound_s=30)
    assert rerank(http).json()["route"] == "search"


def test_a_job_keeps_its_route(http: httpx.Client, store: RouteStore) -> None:
    sent = http.post("/v1/jobs", json={**ASKED, "model": "search"})
    store.delete("search")
    location = sent.headers["location"]
    wait_until(lambda: http.get(location).json()["status"] == "done", "the job is done")
    response = http.get(location).json()["response"]
    assert (response["route"], response["route_version"], response["model"]["name"]) == ("search", 1, MODEL)
