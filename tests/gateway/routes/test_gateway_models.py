"""A gateway that is strict about names of models, and one that asks for keys, on the same fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.http.gateway import FrontedFleet, TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
ASKED: dict[str, Any] = {"query": "q", "documents": ["d"]}


@pytest.fixture(scope="module")
def strict(fronted: FrontedFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestGateway]:
    directory = tmp_path_factory.mktemp("strict")
    with TestGateway(fronted.fleet.settings, directory / "gateway.log", stand_in_for="") as gateway:
        yield gateway.wait_ready()


@pytest.mark.parametrize("name", ["bge-reranker-v2-m3", "rerank-v3.5", "default"])
@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/v1/fleet/rerank", "/v1/jobs"])
def test_a_strict_gateway_refuses_other_names_and_says_what_to_set(strict: TestGateway, path: str, name: str) -> None:
    with strict.client() as http:
        answer = http.post(path, json={**ASKED, "model": name})
    assert answer.status_code == 404
    assert "RERANK_GATEWAY_STAND_IN_FOR" in answer.text
    assert "which serves cross-encoder/ms-marco-MiniLM-L-12-v2" in answer.text


def test_a_strict_gateway_knows_what_it_serves_by_its_last_part_too(strict: TestGateway) -> None:
    with strict.client() as http:
        for name in ("cross-encoder/ms-marco-MiniLM-L-12-v2", "ms-marco-MiniLM-L-12-v2", "", None):
            answer = http.post("/v2/rerank", json={**ASKED, "model": name})
            assert answer.status_code == 200
            assert "warnings" not in answer.json()["meta"]
        answer = http.get("/v1/models/default")
    assert answer.status_code == 404
    assert answer.json()["detail"] == answer.json()["error"]["message"] == answer.json()["message"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/fleet/rerank"])
def test_the_fleet_s_own_paths_answer_for_every_name_as_the_others_do(fronted: FrontedFleet, path: str) -> None:
    answer = fronted.http.post(path, json={**ASKED, "model": "bge-reranker-v2-m3"})
    assert answer.status_code in (200, 202)


def test_where_keys_are_set_xinference_s_clients_are_told_to_send_theirs(fronted: FrontedFleet, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch(mode=0o600)
    with TestGateway(fronted.fleet.settings, tmp_path / "gateway.log", keys=keys) as gateway, gateway.client() as http:
        assert http.get("/v1/cluster/auth").json() == {"auth": True}
        for path in ("/info", "/meta", "/v1/models", "/v1/models/any"):
            assert http.get(path).status_code == 401
        for path in ("/health", "/ping", "/.well-known/live", "/.well-known/ready"):
            assert http.get(path).status_code in (200, 503)
