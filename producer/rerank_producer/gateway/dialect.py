"""Which API a body is of, where several share a path. A pure rule; the header `x-rerank-api` stands above it.

POST /v1/rerank, the first that holds:

1. The header names cohere, jina or voyage.
2. `model` begins with `jina-`: Jina.
3. The body has `top_k`: Voyage, whose clients send it, null at the least.
4. The body has no `top_n`, which Voyage refuses, and it has `truncation`, or `model` is one of Voyage's (voyage-…,
   rerank-2.5, rerank-lite-1; Cohere's go rerank-v…, rerank-english-…): Voyage.
5. A document is an image, or the body has `return_embeddings`, `max_doc_length` or `max_query_length`: Jina.
6. Cohere v1, which is also what clients of vLLM and most others mean.

POST /rerank: Text Embeddings Inference if the header names tei or there are no `documents`, else as above.
"""

from __future__ import annotations

import re
from typing import Any

from rerank_producer.gateway.apis import COHERE_V1, JINA, TEI, VOYAGE
from rerank_producer.gateway.ask import Api
from rerank_shared.errors import InvalidRequest

HEADER = "x-rerank-api"
_VERSIONED: dict[str, Api] = {"cohere": COHERE_V1, "jina": JINA, "voyage": VOYAGE}
_UNVERSIONED: dict[str, Api] = {**_VERSIONED, "tei": TEI}
_JINA_MODEL = "jina-"
_VOYAGE_MODEL = re.compile(r"voyage-|rerank-(lite-)?\d")
_JINA_FIELDS = frozenset({"return_embeddings", "max_doc_length", "max_query_length"})


def choose(body: Any, named: str | None = None) -> Api:
    """Return the API of a body at /v1/rerank, `named` by the header or not. Raises InvalidRequest for another name."""
    if named is not None:
        return _named(named, _VERSIONED)
    return _by_body(body) if isinstance(body, dict) else COHERE_V1


def choose_unversioned(body: Any, named: str | None = None) -> Api:
    """Return the API of a body at /rerank, `named` by the header or not. Raises InvalidRequest for another name."""
    if named is not None:
        return _named(named, _UNVERSIONED)
    return _by_body(body) if isinstance(body, dict) and "documents" in body else TEI


def _named(name: str, known: dict[str, Api]) -> Api:
    try:
        return known[name.strip().lower()]
    except KeyError:
        raise InvalidRequest(f"header {HEADER}: one of {', '.join(known)} expected") from None


def _by_body(body: dict[str, Any]) -> Api:
    given = body.get("model")
    model = given if isinstance(given, str) else ""
    if model.startswith(_JINA_MODEL):
        return JINA
    if "top_k" in body or ("top_n" not in body and ("truncation" in body or _VOYAGE_MODEL.match(model))):
        return VOYAGE
    return JINA if not _JINA_FIELDS.isdisjoint(body) or _has_image(body.get("documents")) else COHERE_V1


def _has_image(documents: Any) -> bool:
    return isinstance(documents, list) and any(
        isinstance(document, dict) and "image" in document and "text" not in document for document in documents
    )
