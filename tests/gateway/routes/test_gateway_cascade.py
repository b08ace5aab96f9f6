"""Cascades over real HTTP and two models: by stages of a request or a route, and with a dead second pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import StartFleet, StartGateway
from rerank_producer import RerankClient
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings
from support.fleet import TestFleet
from support.jobs import passages
from support.model.exports import write_export

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
QUERY = "which rooms has the old house by the river?"
LARGE = "cross-encoder/ms-marco-MiniLM-L-12-v2"
SMALL = "tests/random-0"
STAGES: list[dict[str, Any]] = [{"model": SMALL}, {"model": LARGE, "keep": 3}]
DOCUMENTS = passages(8)


@dataclass(frozen=True)
class Staged:
    """A gateway over two pools, one process each; the large model's is the first."""

    http: httpx.Client
    fleet: TestFleet

    def rerank(self, path: str = "/v1/fleet/rerank", **more: Any) -> httpx.Response:
        headers = {"x-rerank-deadline-ms": "60000"}
        return self.http.post(path, json={"query": QUERY, "documents": DOCUMENTS, **more}, headers=headers)

    def order(self, model: str) -> list[int]:
        """The order by one model alone."""
        with RerankClient(self.fleet.settings) as client:
            response = client.rerank(QUERY, DOCUMENTS, model=model, deadline_ms=60_000, partial=False)
        return [result.index for result in response.results]


@pytest.fixture
def staged(
    start_fleet: StartFleet, start_gateway: StartGateway, settings: Settings, tmp_path: Path
) -> Iterator[Staged]:
    small = f"file:{write_export(tmp_path / 'small', layouts=('unpadded',))}"
    fleet = start_fleet()
    fleet.settings = load_settings(**(settings.model_dump(exclude_none=True) | {"model": small}))
    fleet.start()
    with connect(settings) as client:
        fields = {"shares": {SMALL: 1}, "stages": STAGES, "limits": {"top_n": 5}}
        RouteStore(client, Keys(settings.namespace)).set(read_route("search", fields))
    with start_gateway(settings).wait_ready().client() as http:
        yield Staged(http, fleet)


def test_two_pools_answer_one_after_another_and_the_second_may_die(staged: Staged) -> None:
    small, large = staged.order(SMALL), staged.order(LARGE)
    top = [index for index in large if index in small[:3]]
    expected = [*top, *(index for index in small if index not in top)]
    answer = staged.rerank(stages=STAGES)
    body = answer.json()
    assert [result["index"] for result in body["results"]] == expected
    assert [result["scored_by"] for result in body["results"]] == [LARGE] * 3 + [SMALL] * 5
    assert [stage["usage"]["pairs_cached"] for stage in body["stages"]] == [8, 3]
    assert (body["complete"], answer.headers["x-rerank-model"]) == (True, LARGE)

    by_route = staged.rerank(model="search")
    assert [result["index"] for result in by_route.json()["results"]] == expected[:5]
    assert (by_route.json()["route"], by_route.headers["x-rerank-route"]) == ("search", "search; version=1")
    # Other APIs have no stages of their own, and take those of a route.
    cohere = staged.rerank("/v2/rerank", model="search", top_n=4).json()
    assert [result["index"] for result in cohere["results"]] == expected[:4]
    assert f"stage {LARGE}: 3 of 3 documents scored" in str(cohere["meta"]["warnings"])
    listed = staged.http.get("/v1/models/search").json()
    assert listed["route"]["stages"] == [{"model": SMALL, "keep": None}, {"model": LARGE, "keep": 3}]

    refused = staged.rerank(stages=[{"model": SMALL}, {"model": "no/such-model"}])
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_model")
    assert "'no/such-model' is not served" in refused.json()["error"]["message"]
    wrong = staged.rerank(stages=[{"model": SMALL}, {"model": LARGE, "keep": "most"}])
    assert (wrong.status_code, wrong.json()["error"]["message"][:14]) == (400, "stages.1.keep:")
    jobs: list[dict[str, Any]] = [{"stages": STAGES}, {"model": "search"}]
    for job in jobs:
        sent = staged.rerank("/v1/jobs", **job)
        assert (sent.status_code, "has one model" in sent.json()["error"]["message"]) == (400, True)

    staged.fleet.processes[0].terminate()
    staged.fleet.processes[0].wait(timeout=30)
    left = staged.rerank(documents=passages(8, 30), model="search")
    assert (left.status_code, left.json()["complete"]) == (200, False)
    assert {result["scored_by"] for result in left.json()["results"]} == {SMALL}
    assert [stage["reason"] for stage in left.json()["stages"]] == [None, "no_workers"]
    assert left.headers["x-rerank-complete"] == "false"
