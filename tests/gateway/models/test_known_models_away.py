"""A model that the fleet knows and whose workers are away, beside one that is alive: at every path it is 503."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.batches.driving import BatchApi, lines
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared import fleet
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings
from support.fleet import TestFleet
from support.http.gateway import TestGateway
from support.pools import IDENTITY
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
OWN = "cross-encoder/ms-marco-MiniLM-L-12-v2"
AWAY, ALIAS = "org/away", "file:/srv/away"
BODIES: dict[str, dict[str, Any]] = {
    "/v1/rerank": {"query": "q", "documents": ["one", "two"]},
    "/v2/rerank": {"query": "q", "documents": ["one", "two"]},
    "/v1/ranking": {"query": {"text": "q"}, "passages": [{"text": "one"}]},
    "/api/v1/services/rerank/text-rerank/text-rerank": {"input": {"query": "q", "documents": ["one"]}},
    "/score": {"text_1": "q", "text_2": ["one", "two"]},
    "/v1/fleet/rerank": {"query": "q", "documents": ["one", "two"]},
}


@pytest.fixture(scope="module")
def http(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway with its default policy: the one live model stands in for any name that nobody knows."""
    folder = tmp_path_factory.mktemp("away")
    settings = load_settings(redis_url=server.url, namespace=f"away-{uuid.uuid4().hex[:12]}")
    with (
        TestFleet(settings, folder) as workers,
        TestGateway(settings, folder / "gateway.log", batch_dir=folder / "batches") as gateway,
        gateway.client(headers={"x-rerank-deadline-ms": "300"}) as client,
    ):
        workers.start()
        _announce(settings)
        gateway.wait_ready()
        wait_until(lambda: client.get("/v1/models/search").json().get("id") == "search", "the route is known")
        yield client


def _announce(settings: Settings) -> None:
    """Leave what workers of another model leave, and a route to it."""
    keys, away = Keys(settings.namespace), replace(IDENTITY, model=AWAY)
    with connect(settings) as client:
        fleet.announce(pipe := client.pipeline(), keys, away, time.time(), {AWAY, ALIAS})
        pipe.execute()
        RouteStore(client, keys).set(read_route("search", {"shares": {AWAY: 1}}))


@pytest.mark.parametrize("name", [AWAY, ALIAS, "away", "search"])
@pytest.mark.parametrize("path", BODIES)
def test_no_other_model_answers(http: httpx.Client, path: str, name: str) -> None:
    answer = http.post(path, json=BODIES[path] | {"model": name})
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), answer.text
    assert "no worker" in answer.text


@pytest.mark.parametrize("path", BODIES)
def test_a_name_that_nobody_knows_is_answered_as_before(http: httpx.Client, path: str) -> None:
    for name in ("rerank-v3.5", "no/such-model"):
        answer = http.post(path, json=BODIES[path] | {"model": name}, headers={"x-rerank-deadline-ms": "30000"})
        assert (answer.status_code, answer.headers["x-rerank-model"]) == (200, OWN)


def test_stages_of_it_say_no_workers(http: httpx.Client) -> None:
    body = BODIES["/v1/fleet/rerank"]
    first = http.post("/v1/fleet/rerank", json=body | {"stages": [{"model": AWAY}]})
    assert (first.status_code, first.json()["error"]["code"]) == (503, "no_workers")
    later = body | {"stages": [{"model": OWN}, {"model": AWAY, "keep": 1}]}
    answer = http.post("/v1/fleet/rerank", json=later, headers={"x-rerank-deadline-ms": "30000"}).json()
    assert [stage["reason"] for stage in answer["stages"]] == [None, "no_workers"]


def test_a_job_of_it_is_late_with_no_workers(http: httpx.Client) -> None:
    sent = http.post("/v1/jobs", json=BODIES["/v1/fleet/rerank"] | {"model": AWAY})
    assert sent.status_code == 202
    job = http.get(sent.headers["location"], params={"wait_ms": 20_000}).json()
    assert (job["status"], job["error"]["code"]) == ("late", "no_workers")


def test_a_batch_of_it_waits_for_its_workers(http: httpx.Client) -> None:
    api = BatchApi(http)
    ended = api.ended(api.begun(lines(1, model=AWAY), window="2s"))
    assert (ended["status"], ended["output_file_id"]) == ("expired", None)


def test_it_is_not_listed_and_known_all_the_same(http: httpx.Client) -> None:
    assert {each["id"] for each in http.get("/v1/models").json()["data"]} == {OWN, "search"}
    assert http.get(f"/v1/models/{AWAY}").json()["root"] == AWAY
