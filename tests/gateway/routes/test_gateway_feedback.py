"""POST /v1/feedback over real HTTP: what is kept, what is refused, and what a caller is told while Redis is away."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from rerank_ops.feedback import stream
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.gateway.auth.keyfile import new_key
from rerank_shared.contract.feedback import MAX_SHOWN
from rerank_shared.contract.messages import Feedback
from rerank_shared.contract.swaps import swap_rank
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.http.gateway import FrontedFleet, TestGateway
from support.queue.full_server import LIMIT_BYTES, fill_up
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
PATH = "/v1/feedback"
BODY: dict[str, Any] = {"request_id": "r1", "shown": ["a", {"id": "b", "text": "B"}], "clicked": ["b"], "query": "who?"}


def kept(settings: Settings, request_id: str) -> list[Feedback]:
    with connect(settings) as client:
        found = [each.feedback for each in stream.records(client, Keys(settings.namespace))]
    return [each for each in found if each is not None and each.request_id == request_id]


def test_what_is_told_is_kept_without_texts(fronted: FrontedFleet) -> None:
    name = uuid.uuid4().hex
    answer = fronted.http.post(PATH, json=BODY | {"request_id": name, "tenant": "shop", "query_id": "q"})
    assert (answer.status_code, answer.json()) == (202, {"request_id": name, "status": "stored"})
    (found,) = kept(fronted.client.settings, name)
    assert (found.shown, found.clicked, found.tenant, found.query_id) == (("a", "b"), (2,), "shop", "q")
    assert (found.query, found.texts) == (None, ())
    assert 'rerank_feedback_total{outcome="stored"}' in fronted.http.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "request: a JSON object"),
        ({}, "request_id"),
        (BODY | {"shown": []}, "shown"),
        (BODY | {"shown": "abc"}, "shown"),
        (BODY | {"shown": ["x"] * (MAX_SHOWN + 1)}, "shown"),
        (BODY | {"clicked": ["elsewhere"]}, "clicked"),
        (BODY | {"quary": "who?"}, "quary: no such field; did you mean query"),
        (BODY | {f"field{number}": 1 for number in range(1_000)}, "request: 1004 fields"),
    ],
)
def test_what_is_wrong_is_named(fronted: FrontedFleet, body: Any, named: str) -> None:
    answer = fronted.http.post(PATH, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert named in answer.json()["error"]["message"]


def test_other_methods_and_bodies_are_refused_as_elsewhere(fronted: FrontedFleet) -> None:
    assert fronted.http.get(PATH).status_code == 405
    assert fronted.http.post(PATH, content=b"{").status_code == 400
    assert fronted.http.post(PATH, content=b"x" * 5_000_000).status_code == 413


def test_an_answer_names_itself_for_feedback(fronted: FrontedFleet) -> None:
    body = {"query": "who?", "documents": [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]}
    answer = fronted.http.post("/v1/fleet/rerank", json=body)
    assert answer.headers["x-rerank-id"] == answer.json()["id"]
    assert "x-rerank-experiment" not in answer.headers
    several = fronted.http.post("/score", json={"queries": ["a", "b"], "documents": ["one", "two"]})
    assert len(several.headers["x-rerank-id"].split(",")) == 2


def test_with_keys_it_is_the_key_s_tenant_and_costs_tokens(server: EmbeddedServer, tmp_path: Path) -> None:
    settings = load_settings(redis_url=server.url, namespace=f"feedback-{uuid.uuid4().hex[:8]}")
    key, text = new_key("", "shop", {"tokens_per_s": 0.001, "burst_tokens": 4.0}, date(2026, 1, 1))
    file = tmp_path / "keys.toml"
    file.write_text(text)
    file.chmod(0o600)
    with TestGateway(settings, tmp_path / "log", keys=file) as gateway:
        with gateway.client() as http:
            assert http.post(PATH, json=BODY).status_code == 401
        with gateway.client(headers={"authorization": f"Bearer {key}"}) as http:
            statuses = [http.post(PATH, json=BODY | {"tenant": "other"}).status_code for _ in range(3)]
            assert statuses == [202, 202, 429]
    assert {each.tenant for each in kept(settings, "r1")} == {"shop"}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Settings, httpx.Client]]:
    """A gateway with a server of its own, whose every answer is swapped."""
    with EmbeddedServer.start() as server:
        settings = load_settings(redis_url=server.url, feedback_swap_share=1.0, feedback_texts=True)
        with TestGateway(settings, tmp_path / "log") as gateway, gateway.client() as http:
            yield server, settings, http


@pytest.mark.faults
def test_while_redis_is_away_or_full_it_is_503_and_then_kept(
    alone: tuple[EmbeddedServer, Settings, httpx.Client],
) -> None:
    server, settings, http = alone
    assert http.post(PATH, json=BODY).status_code == 202
    (found,) = kept(settings, "r1")
    assert (found.query, found.texts, found.swapped_rank) == ("who?", (None, "B"), swap_rank("r1", 1.0))
    with connect(settings) as client:
        client.config_set("maxmemory", LIMIT_BYTES)
        fill_up(client, Keys(settings.namespace))
        full = http.post(PATH, json=BODY)
        client.config_set("maxmemory", 0)
    assert (full.status_code, full.headers["retry-after"]) == (503, "1")
    assert "full" in full.json()["error"]["message"]
    server.stop()
    away = http.post(PATH, json=BODY)
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert away.json()["error"] | {"message": ""} == {
        "code": "queue_unavailable", "message": "", "retryable": True, "retry_after_s": 1.0,
    }  # fmt: skip
    assert json.dumps(BODY["query"]) not in away.text


@pytest.mark.faults
def test_a_stream_that_is_gone_is_begun_anew(alone: tuple[EmbeddedServer, Settings, httpx.Client]) -> None:
    server, settings, http = alone
    http.post(PATH, json=BODY)
    server.restart()
    wait_until(lambda: http.post(PATH, json=BODY | {"request_id": "r2"}).status_code == 202, "it is kept")
    assert kept(settings, "r2")
