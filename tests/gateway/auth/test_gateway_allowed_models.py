"""Keys that may use some models only, at every path by which a request comes in."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import httpx
import pytest

from gateway.batches.driving import BatchApi, lines
from producer import echo_worker
from producer.conftest import Echo, serve_echo
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.gateway.auth.keyfile import new_key
from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import load_settings
from support.http.gateway import TestGateway
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
OWN = "cross-encoder/ms-marco-MiniLM-L-12-v2"
#: A model that the fleet knows, and that no process of this test answers for.
BIG, ALIAS = "org/big", "file:/srv/big"
BODIES: dict[str, dict[str, Any]] = {
    "/v1/rerank": {"query": "q", "documents": ["one", "two"]},
    "/v2/rerank": {"query": "q", "documents": ["one", "two"]},
    "/rerank": {"query": "q", "texts": ["one", "two"]},
    "/v1/ranking": {"query": {"text": "q"}, "passages": [{"text": "one"}]},
    "/api/v1/services/rerank/text-rerank/text-rerank": {"input": {"query": "q", "documents": ["one"]}},
    "/score": {"text_1": "q", "text_2": ["one", "two"]},
    "/similarity": {"inputs": {"source_sentence": "q", "sentences": ["one", "two"]}},
    "/v1/fleet/rerank": {"query": "q", "documents": ["one", "two"]},
    "/v1/jobs": {"query": "q", "documents": ["one", "two"]},
}
#: Paths whose bodies name a model.
NAMING = [path for path in BODIES if path not in ("/rerank", "/similarity")]


@dataclass
class Guarded:
    """A gateway over two models and a route, whose keys may use one of these each."""

    gateway: TestGateway
    keys: Mapping[str, str]

    def http(self, key: str) -> httpx.Client:
        return self.gateway.client(headers={"authorization": f"Bearer {self.keys[key]}"})

    def post(self, key: str, path: str, **more: Any) -> httpx.Response:
        with self.http(key) as http:
            return http.post(path, json=BODIES[path] | more)


@pytest.fixture(scope="module")
def known(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    settings = load_settings(redis_url=server.url, namespace=f"allowed-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    for echo in serve_echo(settings, tmp_path_factory.mktemp("allowed-echo") / "worker.log"):
        big, now, keys = replace(echo_worker.identity_of(settings, "b" * 64), model=BIG), echo.now(), echo.keys
        fleet.announce(pipe := echo.client.pipeline(), keys, big, now, {BIG, ALIAS})
        fleet.beat(pipe, keys, Heartbeat("big", BIG, "here", 1, None, now, 1000.0, 0, 0, pools=(pool_id(big),)), now)
        for members in (keys.workers, keys.pooled, keys.of(pool_id(big)).workers):
            pipe.zadd(members, {"big": now + 3600})
        # As the echo worker's: each sweep would end it, and that model be away.
        pipe.zrem(keys.lifetimes, keys.worker("big"))
        pipe.execute()
        RouteStore(echo.client, keys).set(read_route("search", {"shares": {OWN: 1}}))
        yield echo


@pytest.fixture(scope="module")
def guarded(known: Echo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("allowed")
    text, keys = "", {}
    for name, models in {"all": None, "own": [OWN], "route": ["search"], "big": [ALIAS], "ghost": ["ghost"]}.items():
        keys[name], text = new_key(text, name, {"models": models, "default_deadline_ms": 30_000.0}, date(2026, 1, 1))
    file = folder / "keys.toml"
    file.write_text(text)
    file.chmod(0o600)
    with TestGateway(known.settings, folder / "gateway.log", keys=file, batch_dir=folder / "batches") as gateway:
        guarded = Guarded(gateway.wait_ready(), keys)
        with guarded.http("all") as http:
            wait_until(lambda: http.get("/v1/models/search").json().get("id") == "search", "the route is known")
        yield guarded


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    return answer.text


def test_both_models_are_served_for_as_long_as_a_test_takes(known: Echo) -> None:
    """No sweep of the echo worker ends a heartbeat that is written once."""
    for worker in ("echo", "big"):
        assert known.client.exists(known.keys.worker(worker))
        assert known.client.zscore(known.keys.lifetimes, known.keys.worker(worker)) is None


@pytest.mark.parametrize("path", BODIES)
def test_the_default_model_is_resolved_first_and_then_checked(guarded: Guarded, path: str) -> None:
    assert guarded.post("own", path).status_code in (200, 202)
    for key, way_out in (("route", "It may use search: send"), ("big", f"It may use {ALIAS}: send")):
        refused = said(guarded.post(key, path))
        assert f"may not use '{OWN}', which answers requests that name no model. {way_out}" in refused


@pytest.mark.parametrize("path", NAMING)
def test_a_name_is_resolved_first_and_then_checked(guarded: Guarded, path: str) -> None:
    def named(key: str, model: str) -> httpx.Response:
        more = {"input": BODIES[path]["input"]} if "input" in BODIES[path] else {}
        return guarded.post(key, path, model=model, **more)

    for name in (OWN, OWN.rpartition("/")[2], "rerank-v3.5"):
        assert named("own", name).status_code in (200, 202), name
        assert "may not use '" in said(named("route", name))
    assert "which answers for 'rerank-v3.5' here" in said(named("route", "rerank-v3.5"))
    assert named("route", "search").status_code in (200, 202)
    assert "may not use 'search'" in said(named("own", "search"))
    assert f"may not use '{BIG}'" in said(named("own", BIG))
    unknown = named("own", "no/such-model")
    assert unknown.status_code == 404
    assert f"It may use {OWN}: send" in unknown.text
    assert BIG not in unknown.text


@pytest.mark.parametrize("name", [BIG, ALIAS, "big"])
def test_a_model_may_be_used_by_each_of_its_names(guarded: Guarded, name: str) -> None:
    assert guarded.post("big", "/v1/jobs", model=name).status_code == 202
    assert guarded.post("all", "/v1/jobs", model=name).status_code == 202


@pytest.mark.parametrize("stages", [[BIG], [OWN, BIG], [OWN, "search"], [OWN, "no/such-model"]])
def test_each_stage_of_a_request_is_checked(guarded: Guarded, stages: list[str]) -> None:
    refused = said(guarded.post("own", "/v1/fleet/rerank", stages=[{"model": model} for model in stages]))
    assert f"may not use '{stages[-1]}'" in refused
    own = guarded.post("own", "/v1/fleet/rerank", stages=[{"model": OWN}, {"model": OWN, "keep": 1}])
    assert own.status_code == 200
    # What is wrong with a stage is told as before.
    assert guarded.post("own", "/v1/fleet/rerank", stages=[{"keep": 1}]).status_code == 400


def test_each_api_refuses_in_its_own_shape(guarded: Guarded) -> None:
    own = guarded.post("route", "/v1/fleet/rerank").json()["error"]
    assert (own["code"], own["retryable"]) == ("model_not_allowed", False)
    assert guarded.post("route", "/v2/rerank").json()["message"].startswith("model: the API key 'route'")
    assert guarded.post("route", "/rerank").json()["error"].startswith("model: the API key 'route'")
    assert guarded.post("route", "/v1/rerank").json()["error"]["type"] == "PermissionDeniedError"


def test_models_are_listed_that_the_key_may_use(guarded: Guarded) -> None:
    expected = {"all": {OWN, BIG, ALIAS, "search"}, "own": {OWN}, "route": {"search"}, "big": {BIG, ALIAS}}
    for key, names in expected.items():
        with guarded.http(key) as http:
            assert {each["id"] for each in http.get("/v1/models").json()["data"]} == names
            for name in expected["all"]:
                assert http.get(f"/v1/models/{name}").status_code == (200 if name in names else 403)
            for path in ("/info", "/meta"):
                assert http.get(path).status_code == (200 if OWN in names else 403)


def test_a_batch_fails_at_the_line_that_names_another_model(guarded: Guarded) -> None:
    with guarded.http("own") as http:
        api = BatchApi(http)
        ended = api.ended(api.begun([*lines(1), *lines(2, model=BIG)[1:]]))
        (mistake,) = ended["errors"]["data"]
        assert (ended["status"], mistake["code"], mistake["line"]) == ("failed", "model_not_allowed", 2)
        assert f"may not use '{BIG}'" in mistake["message"]
        assert api.ended(api.begun(lines(2, model=OWN)))["status"] == "completed"
    with guarded.http("route") as http:
        api = BatchApi(http)
        assert api.ended(api.begun(lines(2, model="search")))["status"] == "completed"
        assert api.ended(api.begun(lines(2)))["status"] == "failed"


def test_no_error_tells_a_key_the_names_of_other_models_or_routes(guarded: Guarded, known: Echo) -> None:
    store = RouteStore(known.client, known.keys)
    store.set(read_route("hidden", {"shares": {OWN: 1}}))
    store.set(read_route("ghost", {"shares": {"no/such-model": 1}}))
    wait_until(lambda: guarded.post("all", "/v2/rerank", model="ghost").status_code == 404, "the routes are known")
    # A stage names a model, and `search` is a route.
    for path, key, more in (
        ("/v1/fleet/rerank", "route", {"stages": [{"model": "search"}]}),
        ("/v1/jobs", "route", {"stages": [{"model": "search"}]}),
        ("/v1/fleet/rerank", "route", {"stages": [{"model": "search"}], "max_length": 64}),
        ("/v2/rerank", "ghost", {"model": "ghost"}),
        ("/v1/jobs", "ghost", {"model": "ghost"}),
    ):
        refused = guarded.post(key, path, **more)
        assert refused.status_code == 404
        assert "It may use " in refused.text
        for name in (OWN, BIG, ALIAS, "hidden", "no/such-model"):
            assert name not in refused.text
    assert BIG in guarded.post("all", "/v2/rerank", model="ghost").text
