"""Requests as applications send them, replayed over real HTTP, and the fields that they read of the answers.

Each is written down from the application's own source, with a name of a model as its users type it. Those whose own
client library can be installed are run as they are in tests/clients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from support.gateway import FrontedFleet

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]

OWN = "bge-reranker-v2-m3"
QUERY = "Which of the planets is the largest?"
DOCUMENTS = ["Bread is baked at night.", "Jupiter is the largest planet.", "Saturn is a planet with rings."]
COHERE = {"query": QUERY, "documents": DOCUMENTS}
TEI = {"query": QUERY, "texts": DOCUMENTS}
NVIDIA = {"query": {"text": QUERY}, "passages": [{"text": text} for text in DOCUMENTS]}
BEARER = {"authorization": "Bearer any"}

Ranking = tuple[str, str, str]
RESULTS: Ranking = ("results", "index", "relevance_score")
DATA: Ranking = ("data", "index", "relevance_score")
BARE: Ranking = ("", "index", "score")
RANKINGS: Ranking = ("rankings", "index", "logit")


@dataclass(frozen=True)
class Application:
    """A request; where it looks for the ranking, what else it reads, and where for what went wrong."""

    path: str
    body: dict[str, Any]
    ranking: Ranking = RESULTS
    reads: dict[str, Any] = field(default_factory=dict)
    error: str = "message"
    headers: dict[str, str] = field(default_factory=lambda: BEARER)


def some(value: Any) -> bool:
    return bool(value)


BEST_TEXT = {"results.0.document.text": DOCUMENTS[1]}
TOKENS = {"usage.total_tokens": some}
APPLICATIONS = {
    "Open WebUI": Application("/v1/rerank", {"model": OWN, **COHERE, "top_n": 3}),
    "Dify, OpenAI-API-compatible": Application(
        "/v1/rerank", {"model": OWN, **COHERE, "top_n": None, "return_documents": True}, reads=BEST_TEXT
    ),
    "Dify, LocalAI": Application("/rerank", {"model": OWN, **COHERE, "top_n": None}, reads={"usage": some}),
    "Dify, GPUStack": Application("/v1/rerank", {"model": OWN, **COHERE, "top_n": 3}),
    "Dify, Jina": Application(
        "/v1/rerank", {"model": "jina-reranker-v2-base-multilingual", **COHERE, "top_n": 3}, error="detail"
    ),
    "Dify, Text Embeddings Inference": Application("/rerank", {**TEI, "return_text": True}, BARE, error="error"),
    "Dify and MaxKB, Xinference": Application(
        "/v1/rerank",
        {"model": OWN, **COHERE, "top_n": None, "max_chunks_per_doc": None, "return_documents": True}
        | {"return_len": None, "kwargs": "{}"},
        reads=BEST_TEXT,
        error="detail",
    ),
    "Dify, Ollama": Application("/api/rerank", {"model": OWN, **COHERE}),
    "RAGFlow, Xinference": Application(
        "/v1/rerank", {"model": OWN, **COHERE, "return_documents": "true", "return_len": "true"}, reads=TOKENS
    ),
    "RAGFlow, LocalAI and OpenAI-compatible": Application(
        "/rerank", {"model": OWN, **COHERE, "top_n": 3}, reads=TOKENS
    ),
    "RAGFlow, GPUStack, New API, SiliconFlow, vLLM": Application(
        "/v1/rerank", {"model": OWN, **COHERE, "top_n": 3, "return_documents": False}, reads=TOKENS
    ),
    "RAGFlow, HuggingFace": Application(
        "/rerank", {**TEI, "raw_scores": False, "truncate": True}, BARE, error="error", headers={}
    ),
    "RAGFlow, NVIDIA": Application(
        "/v1/reranking", {"model": "nv-rerank-qa-mistral-4b:1", **NVIDIA, "truncate": "END", "top_n": 3}, RANKINGS
    ),
    "llama.cpp's clients": Application("/reranking", {"model": OWN, **COHERE, "top_n": 3}, error="error.message"),
    "llama.cpp's clients, /v1": Application("/v1/reranking", {"model": OWN, **COHERE}, reads=TOKENS),
    "MaxKB, vLLM": Application("/v2/rerank", {"model": OWN, **COHERE}, reads=BEST_TEXT),
    "MaxKB, vLLM, a base that ends in /v1": Application("/v1/v2/rerank", {"model": OWN, **COHERE}, reads=BEST_TEXT),
    "MaxKB, SiliconFlow": Application(
        "/v1/rerank", {"model": OWN, **COHERE, "top_n": 3, "return_documents": True}, reads=BEST_TEXT
    ),
    "FastGPT": Application("/v1/rerank", {"model": OWN, **COHERE}, reads={"meta.tokens.input_tokens": some}),
    "Cherry Studio": Application("/v1/rerank", {"model": OWN, **COHERE, "top_n": 3}),
    "Cherry Studio, Voyage": Application("/v1/rerank", {"model": OWN, **COHERE, "top_k": 3}, DATA, error="detail"),
    "Cherry Studio, Text Embeddings Inference": Application(
        "/v1/rerank", {**TEI, "return_text": True}, BARE, error="error"
    ),
    "LightRAG, cohere and jina": Application("/v1/rerank", {"model": OWN, **COHERE, "top_n": 3}),
    "LightRAG of 2025": Application("/v1/rerank", {"model": OWN, **COHERE, "top_k": 3}),
    "LightRAG, aliyun": Application(
        "/v1/rerank",
        {"model": OWN, "input": COHERE, "parameters": {"top_n": 3, "return_documents": True}},
        ("output.results", "index", "relevance_score"),
    ),
    "Milvus, vLLM and Cohere": Application("/rerank", COHERE, headers={"authorization": "bearer any"}),
    "Milvus, Text Embeddings Inference": Application("/rerank", TEI, BARE, error="error"),
    "Weaviate, reranker-cohere": Application(
        "/v2/rerank", {"model": OWN, **COHERE, "return_documents": False}, reads={"results.0.document": None}
    ),
    "Elasticsearch and OpenSearch": Application("/v1/rerank", {"model": OWN, **COHERE, "top_n": None}),
    "langchain4j, Cohere": Application(
        "/v1/rerank", {"model": OWN, **COHERE}, reads={"meta.billed_units.search_units": 1}
    ),
    "langchain4j, Jina": Application("/v1/rerank", {"model": OWN, **COHERE, "return_documents": False}, reads=TOKENS),
    "Vercel AI SDK, cohere": Application("/v2/rerank", {"model": OWN, **COHERE}, reads={"id": some, "meta": some}),
    "Vercel AI SDK, voyage": Application("/v1/rerank", {"model": OWN, **COHERE}, DATA, TOKENS, error="detail"),
    "Vercel AI SDK, togetherai": Application(
        "/v1/rerank",
        {"model": OWN, **COHERE, "return_documents": False},
        reads={"usage.completion_tokens": 0, "usage.prompt_tokens": some, "model": some, "object": "rerank"},
        error="error.message",
    ),
    "Continue, voyage": Application("/v1/rerank", {"model": OWN, **COHERE}, DATA),
    "Continue, vLLM and Cohere": Application("/v1/rerank", {"model": OWN, **COHERE}),
    "Continue, Text Embeddings Inference": Application(
        "/rerank",
        {**TEI, "return_text": False, "raw_scores": False, "truncation_direction": "Right"},
        BARE,
        error="error",
    ),
    "Infinity's clients": Application(
        "/rerank", {"model": OWN, **COHERE, "raw_scores": False}, reads={"object": "rerank", "id": some, **TOKENS}
    ),
    "LibreChat": Application(
        "/v1/rerank", {"model": OWN, **COHERE, "top_n": 3, "return_documents": True}, reads=BEST_TEXT
    ),
    "Haystack, Jina": Application("/v1/rerank", {"model": OWN, **COHERE, "top_n": 3}, reads={"model": some, **TOKENS}),
    "Haystack, NVIDIA": Application("/v1/ranking", {"model": OWN, **NVIDIA}, RANKINGS),
}
ALL = pytest.mark.parametrize("sent", APPLICATIONS.values(), ids=APPLICATIONS)


def post(fronted: FrontedFleet, sent: Application, body: dict[str, Any]) -> Any:
    answer = fronted.http.post(sent.path, json=body, headers=sent.headers)
    return answer.status_code, answer.json()


def found(content: Any, path: str) -> Any:
    """Return what is there, None for nothing: `results.0.document.text`."""
    for part in filter(None, path.split(".")):
        content = content[int(part)] if isinstance(content, list) else content.get(part)
        if content is None:
            return None
    return content


def ranked(fronted: FrontedFleet, *, logits: bool = False) -> list[tuple[int, float | None]]:
    response = fronted.client.rerank(QUERY, DOCUMENTS, deadline_ms=60_000)
    assert response.results[0].index == 1
    return [(result.index, result.logit if logits else result.relevance_score) for result in response.results]


@ALL
def test_it_finds_the_ranking_and_what_else_it_reads(fronted: FrontedFleet, sent: Application) -> None:
    status, content = post(fronted, sent, sent.body)
    assert status == 200, content
    rows, index, score = sent.ranking
    assert [(row[index], row[score]) for row in found(content, rows)] == ranked(fronted, logits=score == "logit")
    for path, wanted in sent.reads.items():
        assert wanted(found(content, path)) if callable(wanted) else found(content, path) == wanted, path


@ALL
def test_it_finds_what_went_wrong(fronted: FrontedFleet, sent: Application) -> None:
    name = next(name for name in ("documents", "texts", "passages", "input") if name in sent.body)
    wrong: dict[str, Any] = {name: {"query": QUERY, "documents": []} if name == "input" else []}
    status, content = post(fronted, sent, sent.body | wrong)
    if sent.body.get("model", "").startswith("jina-"):
        assert (status, found(content, "results")) == (200, [])
    else:
        assert status in (400, 422)
        assert "empty" in found(content, sent.error)


@ALL
def test_it_is_told_the_model_that_answered(fronted: FrontedFleet, sent: Application) -> None:
    answer = fronted.http.post(sent.path, json=sent.body, headers=sent.headers)
    assert answer.headers["x-rerank-model"] == fronted.client.model_info().name
    meta = answer.json().get("meta") if isinstance(answer.json(), dict) else None
    if meta is not None and "model" in sent.body:
        (warning,) = meta["warnings"]
        assert warning.startswith(f"{sent.body['model']!r} is not served here: ")


class TestBeforeTheyRank:
    """What applications ask before they add a server."""

    def test_dify_finds_a_reranker_behind_text_embeddings_inference(self, fronted: FrontedFleet) -> None:
        info = fronted.http.get("/info").json()
        assert list(info["model_type"]) == ["reranker"]
        assert info["max_input_length"] == fronted.client.model_info().max_length
        assert info["max_client_batch_size"] == fronted.client.settings.max_documents

    @pytest.mark.parametrize("name", [OWN, "ms-marco-MiniLM-L-12-v2", "cross-encoder/ms-marco-MiniLM-L-12-v2"])
    def test_dify_finds_a_reranker_behind_xinference(self, fronted: FrontedFleet, name: str) -> None:
        assert fronted.http.get("/v1/cluster/auth").json() == {"auth": False}
        model = fronted.http.get(f"/v1/models/{name}").json()
        assert (model["id"], model["model_type"]) == (name, "rerank")
        assert model["root"] == fronted.client.model_info().name

    def test_continue_finds_how_much_a_model_reads(self, fronted: FrontedFleet) -> None:
        (model,) = fronted.http.get("/v1/models").json()["data"]
        assert model["max_model_len"] == fronted.client.model_info().max_length

    def test_weaviate_starts_and_is_answered_in_the_order_it_asked(self, fronted: FrontedFleet) -> None:
        for path in ("/.well-known/live", "/.well-known/ready"):
            assert fronted.http.get(path).is_success
        assert fronted.http.get("/meta").json()["model"] == fronted.client.model_info().name
        body = {"query": QUERY, "property": "body", "documents": DOCUMENTS}
        scores = fronted.http.post("/rerank", json=body).json()["scores"]
        assert [row["document"] for row in scores] == DOCUMENTS
        assert [row["score"] for row in scores] == [score for _, score in sorted(ranked(fronted))]
        answer = fronted.http.post("/rerank", json={**body, "documents": []})
        assert (answer.status_code, "empty" in answer.json()["error"]) == (400, True)

    @pytest.mark.parametrize(
        "path", ["/healthz", "/readyz", "/health", "/ping", "/.well-known/ready", "/.well-known/live"]
    )
    def test_monitors_ask_by_head_too(self, fronted: FrontedFleet, path: str) -> None:
        assert fronted.http.get(path).json()["status"] in ("ok", "ready")
        answer = fronted.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert fronted.http.post(path).headers["allow"] == "GET, HEAD"


class TestWhatABodyDoesNotTell:
    """Bodies of which nobody can say whose they are, and documents that are not texts."""

    @pytest.mark.parametrize(
        "fields",
        [{"model": "my-reranker"}, {"model": "rerank-v3.5", "top_k": 2}, {"top_k": None, "model": OWN}],
        ids=str,
    )
    def test_results_and_data_are_the_same(self, fronted: FrontedFleet, fields: dict[str, Any]) -> None:
        content = fronted.http.post("/v1/rerank", json={**COHERE, **fields, "return_documents": True}).json()
        count = fields.get("top_k") or 3
        for rows in (content["results"], content["data"]):
            assert [(row["index"], row["relevance_score"]) for row in rows] == ranked(fronted)[:count]
        assert content["results"][0]["document"] == {"text": DOCUMENTS[1]}
        assert content["data"][0]["document"] == DOCUMENTS[1]

    def test_objects_without_a_text_are_scored_by_all_they_hold(self, fronted: FrontedFleet) -> None:
        objects = [{"title": "Bread", "body": DOCUMENTS[0]}, {"title": "Jupiter", "body": DOCUMENTS[1]}]
        body: dict[str, Any] = {"model": OWN, "query": QUERY, "documents": objects, "return_documents": True}
        whole = fronted.http.post("/v1/rerank", json=body).json()["results"]
        assert whole[0]["document"] == objects[1]
        bodies = fronted.http.post("/v1/rerank", json={**body, "rank_fields": ["body"]}).json()["results"]
        alone = fronted.client.rerank(QUERY, DOCUMENTS[:2], deadline_ms=60_000)
        assert [row["relevance_score"] for row in bodies] == [result.relevance_score for result in alone.results]

    @pytest.mark.parametrize("null", [None, {"text": None}], ids=str)
    @pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
    def test_null_does_not_cost_the_others_their_answer(self, fronted: FrontedFleet, path: str, null: Any) -> None:
        answer = fronted.http.post(path, json={"query": QUERY, "documents": [DOCUMENTS[1], null]})
        assert answer.status_code == 200
        assert [row["index"] for row in answer.json()["results"]] == [0, 1]
        assert "documents.1" in answer.json()["meta"]["warnings"][0]
