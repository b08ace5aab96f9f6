"""Jina's rerank. Documents come back only if asked for, as its hosted API has it since October 2025: no common client
reads them, and who sent them has them. Errors are told under the names of others too, as its models are also served by
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.documents import query_of, required_text
from rerank_producer.apis.common.first_stage import FusionFields, asked_fusion
from rerank_producer.apis.common.generic_error import GenericError, generic_error
from rerank_producer.apis.common.ranking import rows, total_tokens
from rerank_producer.apis.common.validation import TextsOrObjects, TopN, read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest


class JinaRequest(FusionFields):
    """Body of `POST /v1/rerank` as Jina's clients send it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "jina-reranker-v2-base-multilingual",
                    "query": "Organic skincare products for sensitive skin",
                    "documents": [{"text": "Skincare with aloe vera for sensitive skin."}, "New makeup trends."],
                    "top_n": 1,
                }
            ]
        }
    )
    expected: ClassVar[dict[str, str]] = {
        "query": "a text, or an object with a `text`, expected",
        "documents": "a list of texts, or of objects with a `text`, expected",
        "documents[]": "a text, or an object with a `text`, expected",
        "top_n": "a whole number from 0 expected (0: all)",
        "top_k": "a whole number from 0 expected (0: all)",
    }

    model: Text | None = Field(None, description="Name of the model; without one, the fleet's own.")
    query: Text | dict[str, Any] = Field(description="What the documents are compared with: a text, or `{text}`.")
    documents: TextsOrObjects = Field(
        description="Candidates: texts, or `{text}`; an object without a `text` is scored as JSON. Images are refused."
    )
    top_n: TopN | None = Field(None, description="How many of the best to answer; all of them without it, or with 0.")
    top_k: TopN | None = Field(None, description="Not of the original: another name of `top_n`, which comes first.")
    return_documents: bool | None = Field(None, description="Whether the answer repeats the documents. Not by default.")


class JinaDocument(BaseModel):
    """A document as Jina gives it back."""

    text: str


class JinaResult(BaseModel):
    """A document's place in the answer, best first."""

    index: int = Field(description="Its position in `documents`.")
    relevance_score: float = Field(description="The higher, the more relevant.")
    document: JinaDocument | None = Field(None, description="Its text, where that was asked for.")


class JinaUsage(BaseModel):
    """Tokens of all pairs, whether the model ran them or their scores were known."""

    total_tokens: int
    prompt_tokens: int


class JinaResponse(BaseModel):
    """Answer to Jina's clients."""

    model: str = Field(description="The model that scored, whatever name was asked for.")
    object: str
    usage: JinaUsage
    results: list[JinaResult]


@dataclass(frozen=True, slots=True)
class JinaParsed:
    """A body of Jina's."""

    calls: tuple[RerankCall]
    top_n: int | None
    return_documents: bool

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        results: list[dict[str, Any]] = [
            {"index": index, "relevance_score": score} for index, score in rows(reply.response, self.top_n)
        ]
        if self.return_documents:
            for result in results:
                result["document"] = {"text": reply.call.documents[result["index"]]}
        tokens = total_tokens(reply.response)
        return {
            "model": reply.response.model.name,
            "object": "list",
            "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
            "results": results,
        }


class Jina:
    """`POST /v1/rerank` where the body is Jina's."""

    name: str = "jina"
    request: type[BaseModel] = JinaRequest
    response: type[BaseModel] = JinaResponse
    error: type[BaseModel] = GenericError

    def parse(self, body: Any) -> JinaParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(JinaRequest, body)
        texts = [required_text(document, f"documents.{index}") for index, document in enumerate(request.documents)]
        fusion = asked_fusion(request, request.scores, request.documents)
        call = RerankCall(query_of(request.query), texts, model=request.model, fusion=fusion)
        best = request.top_k if request.top_n is None else request.top_n
        return JinaParsed((call,), best, bool(request.return_documents))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error; a field that is wrong is 422 there."""
        status = 422 if (problem.status, problem.code) == (400, InvalidRequest.code) else problem.status
        return status, generic_error(problem)


JINA = Jina()
