"""Requests as applications send them, and where: each written down from the application's own source.

A name is the application's and those before the colon in its row of docs/clients.md; in brackets, what sets it apart.
Each has the URL that people are told to type, and the application's own rule that makes an address of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

HOST = "http://HOST:8080"
V1 = f"{HOST}/v1"
OWN = "bge-reranker-v2-m3"
QUERY = "Which of the planets is the largest?"
DOCUMENTS = ["Bread is baked at night.", "Jupiter is the largest planet.", "Saturn is a planet with rings."]
COHERE = {"query": QUERY, "documents": DOCUMENTS}
TEI = {"query": QUERY, "texts": DOCUMENTS}
NVIDIA = {"query": {"text": QUERY}, "passages": [{"text": text} for text in DOCUMENTS]}
BEARER = {"authorization": "Bearer any"}
TWICE = {**BEARER, "x-api-key": "any"}

Join = Callable[[str], str]
Ranking = tuple[str, str, str]
RESULTS: Ranking = ("results", "index", "relevance_score")
DATA: Ranking = ("data", "index", "relevance_score")
BARE: Ranking = ("", "index", "score")
RANKINGS: Ranking = ("rankings", "index", "logit")


def as_typed(base: str) -> str:
    return base


def then(rest: str) -> Join:
    return lambda base: base + rest


def joined(reference: str) -> Join:
    """A slash at the start drops the base's path, one that lacks at the base's end its last part."""
    return lambda base: urljoin(base, reference)


def below_v1(base: str) -> str:
    """Cherry Studio's: a slash at the end keeps it from adding v1."""
    return f"{base}rerank" if base.endswith("/") else f"{base.removesuffix('/v1')}/v1/rerank"


@dataclass(frozen=True)
class Application:
    """What is typed and how it is joined; a request; where it looks for the ranking, what else it reads, and where for
    what went wrong."""

    typed: str
    join: Join
    body: dict[str, Any]
    ranking: Ranking = RESULTS
    reads: dict[str, Any] = field(default_factory=dict)
    error: str = "message"
    headers: dict[str, str] = field(default_factory=lambda: BEARER)

    @property
    def path(self) -> str:
        """What it asks for."""
        url = self.join(self.typed)
        assert url.startswith(f"{HOST}/"), url
        return url.removeprefix(HOST)


def some(value: Any) -> bool:
    return bool(value)


BEST_TEXT = {"results.0.document.text": DOCUMENTS[1]}
TOKENS = {"usage.total_tokens": some}
ASKED = {"model": OWN, **COHERE}
BEST = {**ASKED, "top_n": 3}
TEXTS = {**ASKED, "top_n": 3, "return_documents": True}
JINA = {**BEST, "model": "jina-reranker-v2-base-multilingual"}
XINFERENCE = {
    **ASKED, "top_n": None, "max_chunks_per_doc": None, "return_documents": True, "return_len": None, "kwargs": "{}"
}  # fmt: skip
RAGFLOW_NVIDIA = {"model": "nv-rerank-qa-mistral-4b:1", **NVIDIA, "truncate": "END", "top_n": 3}
TOGETHER = {"usage.completion_tokens": 0, "usage.prompt_tokens": some, "model": some, "object": "rerank"}
APPLICATIONS = {
    "Open WebUI, External Reranking engine": Application(f"{V1}/rerank", as_typed, BEST),
    "Dify, OpenAI-API-compatible": Application(V1, then("/rerank"), {**TEXTS, "top_n": None}, reads=BEST_TEXT),
    "Dify, LocalAI": Application(HOST, then("/rerank"), {**ASKED, "top_n": None}, reads={"usage": some}),
    "Dify, GPUStack": Application(HOST, then("/v1/rerank"), BEST),
    "Dify, Jina": Application(V1, then("/rerank"), {**JINA, "return_documents": False}, error="detail"),
    "Dify, Azure AI Studio": Application(f"{V1}/rerank", as_typed, ASKED),
    "Dify, Text Embedding Inference": Application(
        HOST, then("/rerank"), {**TEI, "return_text": True}, BARE, {"0.text": DOCUMENTS[1]}, error="error"
    ),
    "Dify, Xinference": Application(HOST, then("/v1/rerank"), XINFERENCE, reads=BEST_TEXT, error="detail"),
    "Dify, Ollama": Application(HOST, then("/api/rerank"), ASKED),
    "RAGFlow, OpenAI-API-Compatible, New API": Application(V1, then("/rerank"), BEST, reads=TOKENS),
    "RAGFlow, OpenAI-API-Compatible (as it was)": Application(V1, joined("/rerank"), BEST, reads=TOKENS),
    "RAGFlow, LocalAI": Application(V1, joined("/rerank"), BEST, reads=TOKENS),
    "RAGFlow, GPUStack": Application(HOST, then("/v1/rerank"), BEST),
    "RAGFlow, VLLM": Application(HOST, then("/v1/rerank"), {**BEST, "return_documents": False}),
    "RAGFlow, VLLM (with Cohere's SDK 5.6)": Application(HOST, then("/rerank"), {**BEST, "return_documents": False}),
    "RAGFlow, Jina": Application(f"{V1}/rerank", as_typed, JINA, reads=TOKENS),
    "RAGFlow, Xinference": Application(
        HOST, joined("/v1/rerank"), {**ASKED, "return_documents": "true", "return_len": "true"}, reads=TOKENS
    ),
    "RAGFlow, HuggingFace": Application(
        "HOST:8080",
        "http://{}/rerank".format,
        {**TEI, "raw_scores": False, "truncate": True},
        BARE,
        error="error",
        headers={},
    ),
    "RAGFlow, NVIDIA": Application(f"{V1}/", joined("reranking"), RAGFLOW_NVIDIA, RANKINGS),
    "llama.cpp's clients, base URL": Application(HOST, then("/reranking"), BEST, error="error.message"),
    "llama.cpp's clients, base URL (below v1)": Application(HOST, then("/v1/reranking"), ASKED, reads=TOKENS),
    "MaxKB, vLLM": Application(HOST, then("/v2/rerank"), ASKED, reads=BEST_TEXT),
    "MaxKB, vLLM (as it was)": Application(V1, then("/v2/rerank"), ASKED, reads=BEST_TEXT),
    "MaxKB, Xinference": Application(HOST, then("/v1/rerank"), XINFERENCE, reads=BEST_TEXT, error="detail"),
    "MaxKB, SiliconFlow": Application(V1, then("/rerank"), TEXTS, reads=BEST_TEXT),
    "FastGPT, requestUrl, channel of type rerank": Application(
        f"{V1}/rerank", as_typed, ASKED, reads={"meta.tokens.input_tokens": some}
    ),
    "Cherry Studio, Jina": Application(HOST, below_v1, BEST),
    "Cherry Studio, Voyage": Application(HOST, below_v1, {**ASKED, "top_k": 3}, DATA, error="detail"),
    "Cherry Studio, TEI": Application(HOST, below_v1, {**TEI, "return_text": True}, BARE, error="error"),
    "LightRAG, cohere, jina": Application(f"{V1}/rerank", as_typed, BEST),
    "LightRAG, cohere (as it was)": Application(f"{V1}/rerank", as_typed, {**ASKED, "top_k": 3}),
    "LightRAG, aliyun": Application(
        f"{V1}/rerank",
        as_typed,
        {"model": OWN, "input": COHERE, "parameters": {"top_n": 3, "return_documents": True}},
        ("output.results", "index", "relevance_score"),
    ),
    "Milvus, vllm": Application(HOST, joined("/rerank"), COHERE, headers={"authorization": "bearer any"}),
    "Milvus, tei": Application(HOST, joined("/rerank"), TEI, BARE, error="error"),
    "Weaviate, reranker-cohere": Application(
        HOST, then("/v2/rerank"), {**ASKED, "return_documents": False}, reads={"results.0.document": None}
    ),
    "OpenSearch, connector of remote inference": Application(f"{V1}/rerank", as_typed, {**ASKED, "top_n": None}),
    "Elasticsearch, custom service": Application(f"{V1}/rerank", as_typed, {**ASKED, "top_n": None}),
    "langchain4j, CohereScoringModel": Application(
        f"{V1}/", joined("rerank"), ASKED, reads={"meta.billed_units.search_units": 1}
    ),
    "langchain4j, JinaScoringModel": Application(
        f"{V1}/", joined("rerank"), {**ASKED, "return_documents": False}, reads=TOKENS
    ),
    "Vercel AI SDK, createCohere": Application(f"{HOST}/v2", then("/rerank"), ASKED, reads={"id": some, "meta": some}),
    "Vercel AI SDK, createVoyage": Application(V1, then("/rerank"), ASKED, DATA, TOKENS, error="detail"),
    "Vercel AI SDK, createTogetherAI": Application(
        V1, then("/rerank"), {**ASKED, "return_documents": False}, reads=TOGETHER, error="error.message"
    ),
    "Continue, voyage": Application(f"{V1}/", joined("rerank"), ASKED, DATA),
    "Continue, cohere": Application(f"{V1}/", joined("rerank"), ASKED),
    "Continue, vllm": Application(f"{V1}/", joined("rerank"), ASKED, headers=TWICE),
    "Continue, openai-adapters": Application(f"{V1}/", joined("rerank"), {**ASKED, "top_k": 3}, headers=TWICE),
    "Continue, huggingface-tei": Application(
        HOST,
        joined("rerank"),
        {**TEI, "return_text": False, "raw_scores": False, "truncation_direction": "Right"},
        BARE,
        error="error",
    ),
    "Infinity's clients, base URL": Application(
        HOST, then("/rerank"), {**ASKED, "raw_scores": False}, reads={"object": "rerank", "id": some, **TOKENS}
    ),
    "LibreChat, webSearch.jinaApiUrl, JINA_API_URL": Application(f"{V1}/rerank", as_typed, TEXTS, reads=BEST_TEXT),
    "Haystack, JinaRanker": Application(f"{V1}/rerank", as_typed, BEST, reads={"model": some, **TOKENS}),
    "Haystack, HuggingFaceTEIRanker": Application(
        HOST, joined("/rerank"), {**TEI, "raw_scores": False}, BARE, error="error"
    ),
    "Haystack, NvidiaRanker": Application(V1, then("/ranking"), {"model": OWN, **NVIDIA}, RANKINGS),
}
#: Its answer is read in the order of its documents.
WEAVIATE = Application(HOST, then("/rerank"), {**COHERE, "property": "body"}, error="error", headers={})
