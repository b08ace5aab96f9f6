"""Voyage's rerank. Over-long texts are always cut, whatever `truncation` says: an answer beats an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.first_stage import FusionFields, asked_fusion
from rerank_producer.apis.common.ranking import rows, total_tokens
from rerank_producer.apis.common.validation import Texts, TopN, read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest


class VoyageRequest(FusionFields):
    """Body of `POST /v1/rerank` as Voyage's clients send it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "rerank-2.5",
                    "query": "When is Apple's conference call?",
                    "documents": ["The conference call is on Thursday.", "Photosynthesis converts light energy."],
                    "top_k": 1,
                }
            ]
        }
    )
    expected: ClassVar[dict[str, str]] = {
        "query": "a text expected",
        "documents": "a list of texts expected",
        "documents[]": "a text expected",
        "top_k": "a whole number from 0 expected (0: all)",
    }

    model: Text | None = Field(None, description="Name of the model; without one, the fleet's own.")
    query: Text = Field(description="What the documents are compared with.")
    documents: Texts = Field(description="Candidates.")
    top_k: TopN | None = Field(None, description="How many of the best to answer; all of them without it, or with 0.")
    return_documents: bool | None = Field(None, description="Whether the answer repeats the documents. Not by default.")
    truncation: bool | None = Field(None, description="Accepted and ignored: over-long texts are always cut.")


class VoyageResult(BaseModel):
    """A document's place in the answer, best first."""

    relevance_score: float = Field(description="The higher, the more relevant.")
    index: int = Field(description="Its position in `documents`.")
    document: str | None = Field(None, description="Its text, where that was asked for.")


class VoyageUsage(BaseModel):
    """Tokens of all pairs, whether the model ran them or their scores were known: the query counts once a document."""

    total_tokens: int


class VoyageResponse(BaseModel):
    """Answer to Voyage's clients."""

    object: str
    data: list[VoyageResult]
    model: str = Field(description="The model that scored, whatever name was asked for.")
    usage: VoyageUsage


class VoyageError(BaseModel):
    """An error, as Voyage's clients read it."""

    detail: str


@dataclass(frozen=True, slots=True)
class VoyageParsed:
    """A body of Voyage's."""

    calls: tuple[RerankCall]
    top_k: int | None
    return_documents: bool

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        data: list[dict[str, Any]] = [
            {"relevance_score": score, "index": index} for index, score in rows(reply.response, self.top_k)
        ]
        if self.return_documents:
            for result in data:
                result["document"] = reply.call.documents[result["index"]]
        return {
            "object": "list",
            "data": data,
            "model": reply.response.model.name,
            "usage": {"total_tokens": total_tokens(reply.response)},
        }


class Voyage:
    """`POST /v1/rerank` where the body is Voyage's."""

    name: str = "voyage"
    request: type[BaseModel] = VoyageRequest
    response: type[BaseModel] = VoyageResponse
    error: type[BaseModel] = VoyageError

    def parse(self, body: Any) -> VoyageParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(VoyageRequest, body)
        if not request.documents:
            raise InvalidRequest("documents: the list is empty; at least one text expected")
        fusion = asked_fusion(request, request.scores, request.documents)
        call = RerankCall(request.query, request.documents, model=request.model, fusion=fusion)
        return VoyageParsed((call,), request.top_k, bool(request.return_documents))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"detail": problem.message}


VOYAGE = Voyage()
