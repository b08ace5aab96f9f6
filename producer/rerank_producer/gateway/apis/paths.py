"""The paths where reranks come in, and the APIs that share each. A path of several is told apart by the body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rerank_producer.gateway.apis import COHERE_V2, DASHSCOPE, FLEET, NVIDIA, SCORE, SIMILARITY, dialect
from rerank_producer.gateway.apis.ask import Api
from rerank_producer.gateway.apis.stand_in import PLAIN, TOLD

#: From a decoded body and the header that names an API to the API.
Choose = Callable[[Any, str | None], Api]


@dataclass(frozen=True, slots=True)
class RerankPath:
    """`default` is whose errors are told before a body is read; `choose` finds the API of one, if there are several."""

    path: str
    summary: str
    apis: tuple[Api, ...]
    default: Api
    choose: Choose | None = None

    @classmethod
    def of(cls, path: str, summary: str, api: Api) -> RerankPath:
        """Return a path of one API."""
        return cls(path, summary, (api,), api)

    @classmethod
    def shared(cls, path: str, summary: str, choose: Choose = dialect.choose, default: Api = TOLD) -> RerankPath:
        """Return a path of many."""
        return cls(path, summary, dialect.SHARED, default, choose)


RERANK_PATHS = (
    RerankPath.of("/v2/rerank", "Rerank as Cohere v2", COHERE_V2),
    RerankPath.of("/v1/v2/rerank", "Where a Cohere client of v2 goes whose base URL ends in /v1", COHERE_V2),
    RerankPath.shared("/v1/rerank", "Rerank as Cohere v1, Jina, Voyage, vLLM and others, told apart by the body"),
    RerankPath.shared("/v1/v1/rerank", "Where one goes that adds v1 itself to a base URL that ends in it"),
    RerankPath.shared(
        "/rerank",
        "Rerank as Text Embeddings Inference, or as at /v1/rerank where the body has `documents`",
        dialect.choose_unversioned,
        PLAIN,
    ),
    RerankPath.shared("/api/rerank", "As /v1/rerank, where some look for it behind Ollama's base URL"),
    RerankPath.shared("/v1/reranking", "As /v1/rerank, by a name that llama.cpp has too"),
    RerankPath.shared("/reranking", "As /v1/rerank, by a name that llama.cpp has too"),
    RerankPath.of("/v1/ranking", "Rank as NVIDIA's NIM containers", NVIDIA),
    RerankPath.of("/ranking", "Rank as NVIDIA's NIM containers", NVIDIA),
    RerankPath.of("/api/v1/services/rerank/text-rerank/text-rerank", "Rerank as DashScope", DASHSCOPE),
    RerankPath.of("/score", "Score pairs as vLLM", SCORE),
    RerankPath.of("/v1/score", "Score pairs as vLLM", SCORE),
    RerankPath.of("/similarity", "Score sentences as Hugging Face's inference clients ask for it", SIMILARITY),
    RerankPath.of("/fleet/rerank", "Rerank in the fleet's own shape: every score, logit, stage and worker", FLEET),
)
