"""Each path over real HTTP gives the scores that the project's own client gives, in its own shape."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.gateway import FrontedFleet

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
QUERY = "How many people live in Berlin?"
DOCUMENTS = [
    "New York City is famous for the Metropolitan Museum of Art.",
    "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "Bread goes stale as its starch crystallises.",
    "The capital of Germany has more inhabitants than Paris.",
]
Ranked = list[tuple[int, float]]


def ranked(fronted: FrontedFleet) -> Ranked:
    response = fronted.client.rerank(QUERY, DOCUMENTS, deadline_ms=60_000)
    assert response.results[0].index == 1
    return [(result.index, result.relevance_score or 0.0) for result in response.results]


def pairs(rows: list[dict[str, Any]], score: str = "relevance_score") -> Ranked:
    return [(row["index"], row[score]) for row in rows]


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
def test_cohere(fronted: FrontedFleet, path: str) -> None:
    answer = fronted.http.post(path, json={"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS, "top_n": 2})
    assert answer.status_code == 200
    assert pairs(answer.json()["results"]) == ranked(fronted)[:2]
    assert "answered in its place" in answer.json()["meta"]["warnings"][0]
    assert answer.headers["x-rerank-model"] == fronted.client.model_info().name


def test_jina(fronted: FrontedFleet) -> None:
    body = {
        "model": "jina-reranker-v2-base-multilingual",
        "query": QUERY,
        "documents": [{"text": d} for d in DOCUMENTS],
    }
    answer = fronted.http.post("/v1/rerank", json=body)
    assert pairs(answer.json()["results"]) == ranked(fronted)
    assert answer.json()["usage"]["total_tokens"] > 0


def test_voyage(fronted: FrontedFleet) -> None:
    body = {"model": "rerank-2.5", "query": QUERY, "documents": DOCUMENTS, "top_k": None, "truncation": True}
    answer = fronted.http.post("/v1/rerank", json=body)
    assert pairs(answer.json()["data"]) == ranked(fronted)


def test_a_header_names_the_api(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    answer = fronted.http.post("/v1/rerank", json=body, headers={"x-rerank-api": "voyage"})
    assert pairs(answer.json()["data"]) == ranked(fronted)
    assert "results" not in answer.json()
    answer = fronted.http.post("/v1/rerank", json=body, headers={"x-rerank-api": "altavista"})
    assert answer.status_code == 400
    assert "x-rerank-api" in answer.json()["message"]


def test_tei(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "return_text": True})
    assert pairs(answer.json(), "score") == ranked(fronted)
    assert [row["text"] for row in answer.json()] == [DOCUMENTS[index] for index, _ in ranked(fronted)]
    assert int(answer.headers["x-total-time"]) >= 0
    raw = fronted.http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "raw_scores": True}).json()
    response = fronted.client.rerank(QUERY, DOCUMENTS)
    assert pairs(raw, "score") == [(result.index, result.logit) for result in response.results]


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
def test_score(fronted: FrontedFleet, path: str) -> None:
    answer = fronted.http.post(path, json={"text_1": QUERY, "text_2": DOCUMENTS})
    assert dict(pairs(answer.json()["data"], "score")) == dict(ranked(fronted))


def test_score_of_many_queries_keeps_their_order(fronted: FrontedFleet) -> None:
    queries = [QUERY, "Why does bread go stale?", QUERY, "Why does bread go stale?"]
    answer = fronted.http.post("/score", json={"queries": queries, "documents": DOCUMENTS})
    scores = [row["score"] for row in answer.json()["data"]]
    for index, (query, document) in enumerate(zip(queries, DOCUMENTS, strict=True)):
        assert scores[index] == fronted.client.rerank(query, [document]).results[0].relevance_score


def test_similarity(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/similarity", json={"inputs": {"source_sentence": QUERY, "sentences": DOCUMENTS}})
    assert answer.json() == [score for _, score in sorted(ranked(fronted))]


def test_the_fleet_s_own_shape(fronted: FrontedFleet) -> None:
    documents = [
        {"id": f"doc-{index}", "text": text, "metadata": {"rank": index}} for index, text in enumerate(DOCUMENTS)
    ]
    answer = fronted.http.post(
        "/v1/fleet/rerank", json={"query": QUERY, "documents": documents, "class": "bulk", "top_n": 3}
    )
    own = answer.json()
    assert pairs(own["results"]) == ranked(fronted)[:3]
    assert own["results"][0]["id"] == "doc-1"
    assert own["results"][0]["metadata"] == {"rank": 1}
    assert own["complete"]
    assert own["workers"] == ["test-0"] or own["usage"]["pairs_cached"] == 4


def test_the_same_again_is_from_the_cache_and_says_so(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    fronted.http.post("/v2/rerank", json=body)
    assert fronted.http.post("/v2/rerank", json=body).headers["x-rerank-cached"] == "4"


def test_long_documents_are_cut_and_told(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/v2/rerank", json={"query": QUERY, "documents": ["Berlin " * 3_000, "Paris"]})
    assert answer.status_code == 200
    assert answer.headers["x-rerank-truncated"] == "1"
    assert "cut to what the model reads: 1 of 2" in answer.json()["meta"]["warnings"][0]


def test_a_cut_by_the_request_s_own_limit_is_not_the_model_s(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": ["Berlin " * 300, "Paris"], "truncate_prompt_tokens": 64}
    warning = fronted.http.post("/v2/rerank", json=body).json()["meta"]["warnings"][0]
    assert "cut to what the request allows, 64 tokens a pair: 1 of 2" in warning


def test_a_bound_on_tokens_is_kept_and_never_above_the_model_s(fronted: FrontedFleet) -> None:
    def tokens(**bound: int) -> int:
        body = {"query": QUERY, "documents": ["Berlin " * 200], **bound}
        answer = fronted.http.post("/v2/rerank", json=body)
        assert answer.status_code == 200
        return int(answer.json()["meta"]["tokens"]["input_tokens"])

    assert tokens(max_tokens_per_doc=64) == 64
    assert tokens(max_tokens_per_doc=100_000) == tokens() > 200


def test_a_request_id_comes_back_and_an_odd_one_does_not(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    answer = fronted.http.post("/v2/rerank", json=body, headers={"x-request-id": "trace-7"})
    assert answer.headers["x-request-id"] == "trace-7" == answer.json()["id"]
    answer = fronted.http.post("/v2/rerank", json=body, headers={"x-request-id": "a b<script>"})
    assert answer.headers["x-request-id"] not in ("", "a b<script>")


def test_a_deadline_that_passes_gives_what_there_is(fronted: FrontedFleet) -> None:
    known = DOCUMENTS[0]
    fronted.client.rerank(QUERY, [known])
    long = [f"{index} " + "Berlin is a city. " * 100 for index in range(400)]
    body = {"query": QUERY, "documents": [*long, known]}
    answer = fronted.http.post("/v2/rerank", json=body, headers={"x-rerank-deadline-ms": "1500"})
    assert answer.status_code == 200
    assert answer.headers["x-rerank-complete"] == "false"
    results = answer.json()["results"]
    assert sorted(row["index"] for row in results) == list(range(401))
    scores = [row["relevance_score"] for row in results]
    assert scores == sorted(scores, reverse=True)
    unscored = [row["index"] for row in results if row["relevance_score"] == 0.0]
    assert unscored == sorted(unscored)
    assert "not scored before the deadline" in answer.json()["meta"]["warnings"][0]


def test_who_wants_all_or_nothing_gets_504(fronted: FrontedFleet) -> None:
    long = [f"{index} " + "Munich is a city. " * 100 for index in range(400)]
    headers = {"x-rerank-deadline-ms": "500", "x-rerank-partial": "false"}
    answer = fronted.http.post("/v2/rerank", json={"query": QUERY, "documents": long}, headers=headers)
    assert answer.status_code == 504
    assert answer.json()["id"] == answer.headers["x-request-id"]


def test_a_deadline_that_makes_no_sense(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    answer = fronted.http.post("/v2/rerank", json=body, headers={"x-rerank-deadline-ms": "soon"})
    assert answer.status_code == 400
    assert "x-rerank-deadline-ms" in answer.json()["message"]


def test_models(fronted: FrontedFleet) -> None:
    (model,) = fronted.http.get("/v1/models").json()["data"]
    info = fronted.client.model_info()
    assert (model["id"], model["digest"], model["max_length"]) == (info.name, info.digest, info.max_length)


def test_the_state_of_the_fleet(fronted: FrontedFleet) -> None:
    fronted.http.post("/v2/rerank", json={"query": QUERY, "documents": DOCUMENTS})
    state = fronted.http.get("/v1/fleet/state").json()
    assert [worker["id"] for worker in state["workers"]] == ["test-0"]
    assert {queue["class"] for queue in state["queues"]} == {"interactive", "bulk"}


def test_no_such_path_is_told_in_json(fronted: FrontedFleet) -> None:
    for method, path, status in (("GET", "/v3/rerank", 404), ("GET", "/v2/rerank", 405), ("POST", "/healthz", 405)):
        answer = fronted.http.request(method, path)
        assert answer.status_code == status
        assert answer.json()["message"] == answer.json()["detail"] == answer.json()["error"]["message"]


def test_a_wrong_method_is_told_with_all_that_are_right(fronted: FrontedFleet) -> None:
    for path, allowed in (("/v2/rerank", "POST"), ("/v1/jobs", "POST"), ("/v1/jobs/x", "DELETE, GET")):
        answer = fronted.http.put(path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed


def test_no_page_of_another_origin_may_call_unless_it_is_said(fronted: FrontedFleet) -> None:
    answer = fronted.http.options(
        "/v2/rerank", headers={"origin": "https://shop.example", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_without_keys_a_browser_asks_for_pages_of_the_gateway_only(
    fronted: FrontedFleet, site: str, status: int
) -> None:
    headers = {"sec-fetch-site": site, "origin": "https://evil.example", "content-type": "text/plain"}
    body = {"query": QUERY, "documents": DOCUMENTS}
    assert fronted.http.post("/v2/rerank", json=body, headers=headers).status_code == status
    assert fronted.http.get("/v1/fleet/state", headers=headers).status_code == status
    assert fronted.http.get("/", headers=headers).status_code == 200


def test_nor_where_a_browser_names_the_origin_alone(fronted: FrontedFleet) -> None:
    """As on the way to any plain http name but localhost."""
    body = {"query": QUERY, "documents": DOCUMENTS}
    for origin, status in ((fronted.gateway.url, 200), ("http://evil.example", 403), ("null", 403)):
        headers = {"origin": origin, "content-type": "text/plain"}
        assert fronted.http.post("/v2/rerank", json=body, headers=headers).status_code == status, origin


def test_without_keys_it_answers_to_its_own_names_only(fronted: FrontedFleet) -> None:
    """A page whose name was made to lead here is of the gateway's origin to its browser."""
    rebound = {"host": "evil.example:8080", "origin": "http://evil.example:8080", "sec-fetch-site": "same-origin"}
    body = {"query": QUERY, "documents": DOCUMENTS}
    for path in ("/v2/rerank", "/v1/rerank", "/rerank", "/score", "/similarity", "/v1/fleet/rerank", "/v1/jobs"):
        answer = fronted.http.post(path, json=body, headers=rebound)
        assert answer.status_code == 403, path
        assert "RERANK_GATEWAY_HOSTS" in answer.text
    for path in ("/v1/fleet/state", "/v1/fleet/live", "/v1/models"):
        assert fronted.http.get(path, headers=rebound).status_code == 403, path
    for path in ("/healthz", "/readyz"):
        assert fronted.http.get(path, headers=rebound).status_code == 200
    for host in ("localhost", "127.0.0.1", "[::1]:80", "192.0.2.7:8080"):
        assert fronted.http.get("/v1/models", headers={"host": host}).status_code == 200, host


def test_a_slash_more_names_the_same(fronted: FrontedFleet) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    for path in ("/v2/rerank", "/v1/rerank", "/rerank", "/v1/fleet/rerank"):
        for written in (f"{path}/", f"/{path}", f"{path}//"):
            answer = fronted.http.post(fronted.gateway.url + written, json=body)
            assert answer.status_code == 200, written
    assert fronted.http.get("/healthz/").json() == {"status": "ok"}
    assert fronted.http.get("/v1/models/").is_success
    location = fronted.http.post("/v1/jobs/", json=body).headers["location"]
    assert location.startswith("/v1/jobs/")
    assert fronted.http.get(f"{location}/").is_success
    assert fronted.http.delete(f"{location}/").status_code == 204


@pytest.mark.parametrize("path", ["/v3/rerank/", "//evil.example/", "/v1/", "/%2Fevil.example/"])
def test_nobody_is_sent_to_another_host(fronted: FrontedFleet, path: str) -> None:
    answer = fronted.http.get(fronted.gateway.url + path)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_the_document_describes_all_paths(fronted: FrontedFleet) -> None:
    document = fronted.http.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v2/rerank", "/v1/v2/rerank", "/v1/rerank", "/v1/v1/rerank", "/rerank", "/api/rerank", "/reranking",
        "/v1/reranking", "/ranking", "/v1/ranking", "/api/v1/services/rerank/text-rerank/text-rerank", "/score",
        "/v1/score", "/similarity", "/v1/fleet/rerank", "/v1/fleet/state", "/v1/fleet/live", "/fleet/rerank",
        "/fleet/state", "/fleet/live", "/v1/feedback", "/v1/jobs", "/v1/jobs/{job_id}", "/v1/models",
        "/v1/models/{model_id}", "/v1/cluster/auth",
        "/info", "/meta", "/healthz", "/readyz", "/health", "/ping", "/.well-known/ready",
        "/.well-known/live", "/v1/files", "/v1/files/{file_id}", "/v1/files/{file_id}/content", "/v1/batches",
        "/v1/batches/{batch_id}", "/v1/batches/{batch_id}/cancel", "/autoscale", "/metrics",
    }  # fmt: skip
    shared = document["paths"]["/v1/rerank"]["post"]["parameters"]
    assert [each["schema"]["enum"] for each in shared if each["name"] == "X-Rerank-Api"] == [
        ["cohere", "jina", "voyage", "tei", "nvidia", "dashscope", "weaviate"]
    ]
    schemas = document["components"]["schemas"]
    for path in ("/v2/rerank", "/rerank"):
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        names = [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema])]
        assert all(schemas[name]["examples"] for name in names)
