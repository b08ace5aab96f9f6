"""Requests and answers of Cohere's rerank, v1 and v2, as they cross the wire; answers for OpenAPI and tests only."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict, JsonValue

from rerank_producer.apis.common.first_stage import FusionFields
from rerank_producer.apis.common.validation import Documents, TopN
from rerank_shared.contract.schemas import Text

_QUESTION = "What is the capital of the United States?"
_CITIES: list[JsonValue] = [
    "Carson City is the capital of Nevada.",
    "Washington, D.C. is the capital of the United States.",
]
_EXAMPLE: JsonDict = {"model": "rerank-v3.5", "query": _QUESTION, "documents": _CITIES, "top_n": 1}
_FUSED_EXAMPLE: JsonDict = {
    "query": _QUESTION,
    "documents": [{"text": _CITIES[0], "score": 11.2}, {"text": _CITIES[1], "score": 14.9}],
    "fusion": "weighted",
    "first_stage": "bm25",
}

#: Names of models that Cohere hosts, with a router's prefix or without: rerank-v3.5, cohere/rerank-english-v3.0.
_HOSTED = re.compile(r"(?:.*/)?rerank-(?:v\d|english|multilingual)")


def hosted_by_cohere(model: str | None) -> bool:
    """Whether a model's name is one of Cohere's."""
    return model is not None and _HOSTED.match(model) is not None


class CohereRequest(FusionFields):
    """What v1 and v2 have in common. `top_k` and what follows is not Cohere's, but of servers that speak its API."""

    expected: ClassVar[dict[str, str]] = {
        "query": "a text expected",
        "documents": "a list of texts, or of objects that hold a text, expected",
        "documents[]": "a text, or an object that holds one, expected",
        "rank_fields": "a list of field names expected",
        "rank_fields[]": "a field name expected",
        "top_n": "a whole number from 0 expected (0: all)",
        "top_k": "a whole number from 0 expected (0: all)",
        "max_tokens_per_doc": "a whole number from 1 expected",
        "truncate_prompt_tokens": "a whole number from -1 expected",
    }

    model: Text | None = Field(None, description="Name of the model; without one, the fleet's own.")
    query: Text = Field(description="What the documents are compared with.")
    documents: Documents = Field(
        description="Candidates: texts, or objects of which `text`, or the fields of `rank_fields`, are scored, or all "
        "of it as JSON where there is no `text`. Null is an empty text, and `meta.warnings` says so."
    )
    top_n: TopN | None = Field(None, description="How many of the best to answer; all of them without it, or with 0.")
    rank_fields: Annotated[list[Text], Field(fail_fast=True)] | None = Field(
        None, description="Fields of document objects to score, one a line, in this order. Without it, `text`."
    )
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Tokens after which a document is cut, the query counted with it. Never more than the model reads.",
    )
    priority: int | None = Field(None, description="Accepted and ignored: requests are served by their deadlines.")
    return_documents: bool | None = Field(
        None,
        description="Whether the answer repeats the documents. Not by default; at v2 they are where `model` is not one "
        "of Cohere's, as vLLM has it there.",
    )
    top_k: TopN | None = Field(None, description="Another name of `top_n`, which comes first.")
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = Field(
        None, description="As vLLM has it: tokens of a pair, at most. -1 or 0: what the model reads."
    )
    use_activation: bool | None = Field(None, description="As vLLM has it. False: logits instead of scores.")
    activation: bool | None = Field(None, description="An older name of `use_activation`.")
    raw_scores: bool | None = Field(None, description="As Infinity has it. True: logits instead of scores.")

    @property
    def best(self) -> int | None:
        """How many to answer; None or 0 for all."""
        return self.top_k if self.top_n is None else self.top_n

    @property
    def activated(self) -> bool:
        """Whether scores are wanted, not logits."""
        return self.use_activation is not False and self.activation is not False and not self.raw_scores


class CohereV2Request(CohereRequest):
    """Body of `POST /v2/rerank`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE, _FUSED_EXAMPLE]})

    relevant_spans: dict[str, Any] | None = Field(
        None, description="Accepted; no spans are found here, and `meta.warnings` says so where they are enabled."
    )


class CohereV1Request(CohereRequest):
    """Body of `POST /v1/rerank`, and of `POST /rerank` where it has `documents`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _EXAMPLE,
                {
                    "query": _QUESTION,
                    "documents": [{"title": "Nevada", "text": _CITIES[0]}],
                    "rank_fields": ["title", "text"],
                    "return_documents": True,
                },
            ]
        }
    )

    max_chunks_per_doc: int | None = Field(None, description="Accepted and ignored: documents are cut, not chunked.")


class CohereResult(BaseModel):
    """A document's place in the answer, best first."""

    index: int = Field(description="Its position in `documents`.")
    relevance_score: float = Field(description="The higher, the more relevant.")
    document: dict[str, Any] | None = Field(None, description="The document as it was sent; a text as `{text}`.")


class CohereApiVersion(BaseModel):
    """Which API answered."""

    version: str


class CohereBilledUnits(BaseModel):
    """What Cohere would have charged for. Nothing is charged here."""

    search_units: int = Field(description="One for each 100 documents begun.")


class CohereTokens(BaseModel):
    """Tokens of all pairs, whether the model ran them or their scores were known."""

    input_tokens: int
    output_tokens: int


class CohereMeta(BaseModel):
    """About the request as a whole."""

    api_version: CohereApiVersion
    billed_units: CohereBilledUnits
    tokens: CohereTokens
    cached_tokens: int = Field(description="Those of `tokens` whose scores were known.")
    warnings: list[str] | None = Field(
        None, description="Documents cut, null or late; fused scores; another model; spans."
    )


class CohereV2Response(BaseModel):
    """Answer of `POST /v2/rerank`."""

    id: str
    results: list[CohereResult]
    meta: CohereMeta


class VllmUsage(BaseModel):
    """Tokens of all pairs, cached ones too."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CohereV1Response(BaseModel):
    """Answer of `POST /v1/rerank`; `object`, `model` and `usage` are for clients of vLLM, Infinity and Together."""

    id: str
    object: Literal["rerank"]
    model: str = Field(description="The model that scored, not the name it was asked for by.")
    results: list[CohereResult]
    meta: CohereMeta
    usage: VllmUsage


class CohereV2Error(BaseModel):
    """An error of v2."""

    id: str
    message: str
