"""The rerank of Weaviate's transformers container, for its module `reranker-transformers`.

The answer has one score a document, in the order of the request: Weaviate joins them to its objects by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.ranking import rows
from rerank_producer.apis.common.validation import Body, Texts, read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest


class WeaviateRequest(Body):
    """Body of `POST /rerank` with a `property`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "capital of France?", "property": "body", "documents": ["Paris is.", "Berlin is Germany's."]}
            ]
        }
    )
    expected: ClassVar[dict[str, str]] = {
        "query": "a text expected",
        "property": "a text expected",
        "documents": "a list of texts expected",
        "documents[]": "a text expected",
    }

    query: Text = Field(description="What the documents are compared with.")
    documents: Texts = Field(description="Candidates.")
    property: Text | None = Field(None, description="The objects' property that they are; comes back.")


class WeaviateScore(BaseModel):
    """The score of a document."""

    document: str
    score: float = Field(description="The higher, the more relevant.")


class WeaviateResponse(BaseModel):
    """Answer to `POST /rerank` with a `property`, in the order of `documents`."""

    query: str
    property: str | None
    scores: list[WeaviateScore]


class WeaviateError(BaseModel):
    """An error, as Weaviate reads it."""

    error: str


@dataclass(frozen=True, slots=True)
class WeaviateParsed:
    """A body of `POST /rerank` with a `property`."""

    calls: tuple[RerankCall]
    property: str | None

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        scores = [
            {"document": reply.call.documents[index], "score": score} for index, score in sorted(rows(reply.response))
        ]
        return {"query": reply.call.query, "property": self.property, "scores": scores}


class Weaviate:
    """`POST /rerank` with a `property`."""

    name: str = "weaviate"
    request: type[BaseModel] = WeaviateRequest
    response: type[BaseModel] = WeaviateResponse
    error: type[BaseModel] = WeaviateError

    def parse(self, body: Any) -> WeaviateParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(WeaviateRequest, body)
        if not request.documents:
            raise InvalidRequest("documents: the list is empty; at least one text expected")
        return WeaviateParsed((RerankCall(request.query, request.documents),), request.property)

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"error": problem.message}


WEAVIATE = Weaviate()
