"""A gateway whose fleet is too busy asks the operator's upstream, says so, and never depends on it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import StartGateway
from rerank_shared.settings import Settings
from support.http.gateway import TestGateway
from support.http.upstream import Upstream
from support.overload import overloaded_fleet

pytestmark = pytest.mark.integration
KEY = "upstream-key"


@pytest.fixture
async def gateway(
    settings: Settings,
    start_gateway: StartGateway,
    upstream: Upstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TestGateway:
    """A gateway with that upstream, before a fleet that would answer too late."""
    authority = tmp_path / "authority.pem"
    upstream.authority.cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    options = {"overflow_url": upstream.url, "overflow_model": "rerank-v3.5", "overflow_key": KEY}
    fleet = await asyncio.to_thread(overloaded_fleet, settings)
    return await asyncio.to_thread(start_gateway, fleet, **options)


async def ask(gateway: TestGateway, **fields: Any) -> httpx.Response:
    body = {"query": "which rooms?", "documents": ["the blue room", "the red one"], "model": "rerank-v3.5"} | fields
    async with gateway.async_client() as http:
        return await http.post("/v2/rerank", json=body, headers={"x-rerank-deadline-ms": "20000"})


async def test_what_would_be_late_is_answered_by_the_upstream(gateway: TestGateway, upstream: Upstream) -> None:
    upstream.says({"results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.5}]})
    answer = await ask(gateway)
    assert answer.status_code == 200
    assert [row["index"] for row in answer.json()["results"]] == [1, 0]
    assert answer.headers["x-rerank-overflow"] == upstream.url.removeprefix("https://")
    assert answer.headers["x-rerank-model"] == "rerank-v3.5"
    assert "answered" in answer.json()["meta"]["warnings"][0]
    ((_, headers, body),) = upstream.requests
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["documents"] == ["the blue room", "the red one"]
    assert KEY not in gateway.log()


async def test_an_upstream_s_answer_is_not_fused_and_says_so(gateway: TestGateway, upstream: Upstream) -> None:
    upstream.says({"results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.5}]})
    answer = await ask(gateway, scores=[9.0, 1.0], fusion="weighted", fusion_weight=100)
    assert [row["index"] for row in answer.json()["results"]] == [1, 0]
    assert "x-rerank-fusion" not in answer.headers
    _, warning = answer.json()["meta"]["warnings"]
    assert warning.startswith("first-stage scores did not count")
    ((_, _, body),) = upstream.requests
    assert set(body) == {"model", "query", "documents"}
    plain = await ask(gateway, scores=[9.0, 1.0])
    assert len(plain.json()["meta"]["warnings"]) == 1, "fusion was not in force"


async def test_an_upstream_that_makes_no_sense_leaves_the_fleet_s_429(gateway: TestGateway, upstream: Upstream) -> None:
    upstream.says({"results": "nonsense"})
    answer = await ask(gateway)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "x-rerank-overflow" not in answer.headers
    assert len(upstream.requests) == 1
    assert KEY not in gateway.log()
