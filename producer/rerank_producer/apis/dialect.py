"""Which API a body is of, where several share a path. A pure rule; the header `x-rerank-api` stands above it.

The first that holds:

1. The header names cohere, jina, voyage, tei, nvidia, dashscope or weaviate.
2. There are no `documents` but `passages` (NVIDIA), `input` (DashScope) or `texts` (Text Embeddings Inference).
   With none of them a body at /rerank is Text Embeddings Inference's, elsewhere Cohere's: each says what is missing.
3. The body has `property`: Weaviate.
4. `model` begins with `jina-`: Jina.
5. There is no `top_n`, which Voyage refuses, and there is `truncation`, or `model` is one of Voyage's (voyage-…,
   rerank-2.5, rerank-lite-1; Cohere's go rerank-v…, rerank-english-…): Voyage.
6. A document is an image, or the body has `return_embeddings`, `max_doc_length` or `max_query_length`: Jina.
7. There is no `top_n`, and there is `top_k`, or a `model` that is not Cohere's and no field that Voyage lacks: it may
   be Cohere v1 or Voyage, and the answer is both, `results` and `data`.
8. Cohere v1, which is also what clients of vLLM, llama.cpp, Xinference and most others mean.
"""

from __future__ import annotations

import re
from typing import Any

from rerank_producer.apis import COHERE_OR_VOYAGE, COHERE_V1, DASHSCOPE, JINA, NVIDIA, TEI, VOYAGE, WEAVIATE
from rerank_producer.apis.cohere_bodies import hosted_by_cohere
from rerank_producer.apis.common.call import Api
from rerank_shared.errors import InvalidRequest

HEADER = "x-rerank-api"
#: The API by value of the header.
NAMED: dict[str, Api] = {
    "cohere": COHERE_V1,
    "jina": JINA,
    "voyage": VOYAGE,
    "tei": TEI,
    "nvidia": NVIDIA,
    "dashscope": DASHSCOPE,
    "weaviate": WEAVIATE,
}
#: Every API that a shared path may serve.
SHARED: tuple[Api, ...] = (COHERE_V1, JINA, VOYAGE, COHERE_OR_VOYAGE, TEI, NVIDIA, DASHSCOPE, WEAVIATE)
_INSTEAD_OF_DOCUMENTS: dict[str, Api] = {"passages": NVIDIA, "input": DASHSCOPE, "texts": TEI}
_JINA_MODEL = "jina-"
_VOYAGE_MODEL = re.compile(r"voyage-|rerank-(lite-)?\d")
_JINA_FIELDS = frozenset({"return_embeddings", "max_doc_length", "max_query_length"})
_NOT_VOYAGES = frozenset(
    {
        "rank_fields", "max_chunks_per_doc", "max_tokens_per_doc", "truncate_prompt_tokens", "use_activation",
        "activation", "raw_scores", "return_len",
    }
)  # fmt: skip


def choose(body: Any, named: str | None = None) -> Api:
    """Return the API of a body at /v1/rerank, `named` by the header or not. Raises InvalidRequest for another name."""
    return _of(body, COHERE_V1) if named is None else _named(named)


def choose_unversioned(body: Any, named: str | None = None) -> Api:
    """Return the API of a body at /rerank, `named` by the header or not. Raises InvalidRequest for another name."""
    return _of(body, TEI) if named is None else _named(named)


def _named(name: str) -> Api:
    try:
        return NAMED[name.strip().lower()]
    except KeyError:
        raise InvalidRequest(f"header {HEADER}: one of {', '.join(NAMED)} expected") from None


def _of(body: Any, bare: Api) -> Api:
    """Return the API of a body, `bare` for one that has nothing to rank."""
    if not isinstance(body, dict):
        return bare
    if "documents" not in body:
        return next((api for field, api in _INSTEAD_OF_DOCUMENTS.items() if field in body), bare)
    return WEAVIATE if "property" in body else _by_fields(body)


def _by_fields(body: dict[str, Any]) -> Api:
    given = body.get("model")
    model = given if isinstance(given, str) else ""
    if model.startswith(_JINA_MODEL):
        return JINA
    if "top_n" not in body and ("truncation" in body or _VOYAGE_MODEL.match(model)):
        return VOYAGE
    if not _JINA_FIELDS.isdisjoint(body) or _has_image(body.get("documents")):
        return JINA
    return COHERE_OR_VOYAGE if _may_be_voyages(body, model) else COHERE_V1


def _may_be_voyages(body: dict[str, Any], model: str) -> bool:
    if "top_n" in body:
        return False
    return "top_k" in body or (bool(model) and not hosted_by_cohere(model) and _NOT_VOYAGES.isdisjoint(body))


def _has_image(documents: Any) -> bool:
    return isinstance(documents, list) and any(
        isinstance(document, dict) and "image" in document and "text" not in document for document in documents
    )
