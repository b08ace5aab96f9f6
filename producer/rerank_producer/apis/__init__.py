"""The rerank APIs that the gateway speaks, one a file. An API turns a body into calls, and replies into a body.

Pure: an API knows neither HTTP nor keys nor deadlines. Its `request`, `response` and `error` are the pydantic models of
its bodies, for OpenAPI; answers are written as plain dicts, which tests hold to those models.
"""

from __future__ import annotations

from rerank_producer.apis.cohere import COHERE_V1, COHERE_V2
from rerank_producer.apis.cohere_or_voyage import COHERE_OR_VOYAGE
from rerank_producer.apis.dashscope import DASHSCOPE
from rerank_producer.apis.fleet import FLEET
from rerank_producer.apis.jina import JINA
from rerank_producer.apis.nvidia import NVIDIA
from rerank_producer.apis.score import SCORE
from rerank_producer.apis.similarity import SIMILARITY
from rerank_producer.apis.tei import TEI
from rerank_producer.apis.voyage import VOYAGE
from rerank_producer.apis.weaviate import WEAVIATE

__all__ = [
    "COHERE_OR_VOYAGE",
    "COHERE_V1",
    "COHERE_V2",
    "DASHSCOPE",
    "FLEET",
    "JINA",
    "NVIDIA",
    "SCORE",
    "SIMILARITY",
    "TEI",
    "VOYAGE",
    "WEAVIATE",
]
