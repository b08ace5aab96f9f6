"""First-stage scores over real HTTP: they count as for the project's own client, and the answer says how."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from rerank_producer import RerankResponse
from rerank_producer.fusion.shown import shown_score
from support.http.gateway import FrontedFleet
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
QUERY = "How many people live in Berlin?"
DOCUMENTS = [
    "New York City is famous for the Metropolitan Museum of Art.",
    "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "Bread goes stale as its starch crystallises.",
    "The capital of Germany has more inhabitants than Paris.",
]
#: The best by the model is the worst here.
SCORES = [20.0, 1.0, 3.0, 12.0]
OPTIONS = {"fusion": "zscore", "fusion_weight": 3.0}
OBJECTS = [{"text": text, "score": score} for text, score in zip(DOCUMENTS, SCORES, strict=True)]


def own(fronted: FrontedFleet) -> RerankResponse:
    """What the project's own client gets."""
    response = fronted.client.rerank(
        QUERY, DOCUMENTS, scores=SCORES, fusion="zscore", fusion_weight=3.0, deadline_ms=60_000
    )
    assert response.results[0].index == 0, "the first stage decides"
    return response


def results(written: Any) -> Any:
    return written["results"]


@pytest.mark.parametrize(
    ("path", "body", "rows"),
    [
        ("/v2/rerank", {"documents": OBJECTS}, results),
        ("/v2/rerank", {"documents": DOCUMENTS, "scores": SCORES}, results),
        ("/v1/rerank", {"documents": OBJECTS, "rank_fields": ["text"]}, results),
        ("/v1/rerank", {"documents": DOCUMENTS, "scores": SCORES, "top_k": 4}, lambda written: written["data"]),
        ("/v1/rerank", {"model": "jina-x", "documents": OBJECTS}, results),
        ("/v1/rerank", {"model": "rerank-2.5", "documents": DOCUMENTS, "scores": SCORES}, lambda told: told["data"]),
        ("/rerank", {"texts": DOCUMENTS, "scores": SCORES}, list),
    ],
    ids=["cohere-v2", "in-a-list", "cohere-v1", "cohere-or-voyage", "jina", "voyage", "tei"],
)
def test_each_shape_has_the_order_and_the_score_of_the_fused_answer(
    fronted: FrontedFleet, path: str, body: dict[str, Any], rows: Callable[[Any], list[dict[str, Any]]]
) -> None:
    expected = own(fronted)
    answer = fronted.http.post(path, json={"query": QUERY} | body | OPTIONS)
    assert answer.status_code == 200, answer.text
    found = [(row["index"], row.get("relevance_score", row.get("score"))) for row in rows(answer.json())]
    assert found == [(result.index, shown_score(result, expected.model)) for result in expected.results]
    assert answer.headers["x-rerank-fusion"].startswith("zscore; weight=3; ratio=")
    assert "fuse;dur=" in answer.headers["server-timing"]


def test_nvidia_and_dashscope_do_too(fronted: FrontedFleet) -> None:
    expected = own(fronted)
    ranking = fronted.http.post("/v1/ranking", json={"query": {"text": QUERY}, "passages": OBJECTS} | OPTIONS).json()
    assert [(row["index"], row["logit"]) for row in ranking["rankings"]] == [
        (result.index, result.fused_score) for result in expected.results
    ]
    body = {"input": {"query": QUERY, "documents": DOCUMENTS, "scores": SCORES}, "parameters": OPTIONS}
    output = fronted.http.post("/api/v1/services/rerank/text-rerank/text-rerank", json=body).json()["output"]
    assert [row["index"] for row in output["results"]] == [result.index for result in expected.results]


def test_cohere_s_warnings_say_it_once(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/v2/rerank", json={"query": QUERY, "documents": OBJECTS} | OPTIONS)
    (warning,) = answer.json()["meta"]["warnings"]
    assert warning == "scores are the model's fused with the first stage's: zscore, weight 3"


@pytest.mark.parametrize("path", ["/v1/fleet/rerank", "/v1/jobs"])
def test_the_fleet_s_own_shape_has_both_scores(fronted: FrontedFleet, path: str) -> None:
    expected = own(fronted)
    sent = fronted.http.post(path, json={"query": QUERY, "documents": OBJECTS} | OPTIONS)
    found = sent.json()
    if path == "/v1/jobs":
        found = fronted.http.get(sent.headers["location"], params={"wait_ms": 30_000}).json()["response"]
    response = RerankResponse.model_validate(found)
    fields = ("index", "relevance_score", "logit", "first_stage_score", "fused_score")
    assert [[getattr(each, name) for name in fields] for each in response.results] == [
        [getattr(each, name) for name in fields] for each in expected.results
    ]
    assert response.fusion == expected.fusion


def test_a_ratio_is_learned_and_told(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": OBJECTS, "fusion": "weighted", "first_stage": f"bm25-{uuid.uuid4().hex[:8]}"}

    def told() -> str:
        return fronted.http.post("/v2/rerank", json=body).headers["x-rerank-fusion"]

    answer = fronted.http.post("/v2/rerank", json=body)
    assert answer.headers["x-rerank-fusion"].startswith("zscore; ")
    assert answer.headers["x-rerank-fusion"].endswith("; requests=0")
    assert "in place of weighted, which has learned from 0 of 30" in answer.json()["meta"]["warnings"][-1]
    wait_until(lambda: told().startswith("weighted; weight=1; ratio="), "enough requests have taught the ratio")
    assert int(told().rpartition("requests=")[2]) >= 30


def test_a_score_that_is_none_is_wrong_only_where_fusion_is_asked_for(fronted: FrontedFleet) -> None:
    body: dict[str, Any] = {"query": QUERY, "documents": [{"text": "d", "score": "high"}, {"text": "e", "score": 1}]}
    plain = fronted.http.post("/v2/rerank", json=body)
    assert plain.status_code == 200
    assert "x-rerank-fusion" not in plain.headers
    assert "warnings" not in plain.json()["meta"]
    answer = fronted.http.post("/v2/rerank", json=body | {"fusion": "rrf"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("documents.0.score: a finite number expected")


def test_a_method_that_needs_scores_is_not_done_without(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    answer = fronted.http.post("/v2/rerank", json=body | {"fusion": "weighted"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("fusion: 'weighted' needs first-stage scores")
    assert fronted.http.post("/v2/rerank", json=body | {"fusion": "rrf"}).headers["x-rerank-fusion"] == "rrf; weight=1"


def test_a_flood_of_scores_is_refused_before_it_is_read(fronted: FrontedFleet) -> None:
    flood = ["x"] * 100_000
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v2/rerank", {"query": "q", "documents": ["d"], "scores": flood}),
        ("/v1/fleet/rerank", {"query": "q", "documents": ["d"], "scores": flood}),
        ("/v1/rerank", {"input": {"query": "q", "documents": ["d"], "scores": flood}}),
    ]
    for path, body in bodies:
        answer = fronted.http.post(path, json=body)
        assert answer.status_code == 400
        assert "100,000 documents were sent" in answer.text
