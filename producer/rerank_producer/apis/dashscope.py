"""The rerank of Alibaba's DashScope. `input` has query and documents, `parameters` options, `output` the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.documents import required_text
from rerank_producer.apis.common.first_stage import FirstStageScores, FusionFields, asked_fusion
from rerank_producer.apis.common.ranking import rows, total_tokens
from rerank_producer.apis.common.validation import Body, TextsOrObjects, TopN, read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest


class DashScopeInput(FirstStageScores):
    """What is compared."""

    expected: ClassVar[dict[str, str]] = {
        "query": "a text expected",
        "documents": "a list of texts, or of objects with a `text`, expected",
        "documents[]": "a text, or an object with a `text`, expected",
    }

    query: Text = Field(description="What the documents are compared with.")
    documents: TextsOrObjects = Field(description="Candidates: texts, or `{text}`. Images are refused.")


class DashScopeParameters(FusionFields):
    """How to answer. Clients put here what they don't know, so that `scores` may be here too."""

    expected: ClassVar[dict[str, str]] = {"top_n": "a whole number from 0 expected (0: all)"}

    top_n: TopN | None = Field(None, description="How many of the best to answer; all of them without it, or with 0.")
    return_documents: bool | None = Field(None, description="Whether the answer repeats the documents. Not by default.")


class DashScopeHead(Body):
    """What stands beside `input` and `parameters`."""

    model: Text | None = Field(None, description="Name of the model; without one, the fleet's own.")


class DashScopeRequest(DashScopeHead):
    """Body of `POST /api/v1/services/rerank/text-rerank/text-rerank`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "gte-rerank-v2",
                    "input": {"query": "capital of France?", "documents": ["Paris is.", "Berlin is Germany's."]},
                    "parameters": {"top_n": 1, "return_documents": True},
                }
            ]
        }
    )

    input: DashScopeInput = Field(description="What is compared.")
    parameters: DashScopeParameters | None = Field(None, description="How to answer.")


class DashScopeDocument(BaseModel):
    """A document as it is given back."""

    text: str


class DashScopeResult(BaseModel):
    """A document's place in the answer, best first."""

    index: int = Field(description="Its position in `documents`.")
    relevance_score: float = Field(description="The higher, the more relevant.")
    document: DashScopeDocument | None = Field(None, description="Its text, where that was asked for.")


class DashScopeOutput(BaseModel):
    """The ranking."""

    results: list[DashScopeResult]


class DashScopeUsage(BaseModel):
    """Tokens of all pairs, whether the model ran them or their scores were known."""

    total_tokens: int


class DashScopeResponse(BaseModel):
    """Answer to DashScope's clients."""

    output: DashScopeOutput
    usage: DashScopeUsage
    request_id: str


class DashScopeError(BaseModel):
    """An error, as DashScope's clients read it."""

    code: str
    message: str
    request_id: str


@dataclass(frozen=True, slots=True)
class DashScopeParsed:
    """A body of DashScope's."""

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
        usage = {"total_tokens": total_tokens(reply.response)}
        return {"output": {"results": results}, "usage": usage, "request_id": request_id}


class DashScope:
    """`POST /api/v1/services/rerank/text-rerank/text-rerank`."""

    name: str = "dashscope"
    request: type[BaseModel] = DashScopeRequest
    response: type[BaseModel] = DashScopeResponse
    error: type[BaseModel] = DashScopeError

    def parse(self, body: Any) -> DashScopeParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        head = read(DashScopeHead, body)
        given, how = body.get("input"), body.get("parameters")
        if not isinstance(given, dict):
            raise InvalidRequest("input: an object of a text `query` and a list `documents` expected")
        if how is not None and not isinstance(how, dict):
            raise InvalidRequest("parameters: an object expected")
        asked, parameters = read(DashScopeInput, given), read(DashScopeParameters, how or {})
        if not asked.documents:
            raise InvalidRequest("documents: the list is empty; at least one text expected")
        texts = [required_text(document, f"documents.{index}") for index, document in enumerate(asked.documents)]
        scores = parameters.scores if asked.scores is None else asked.scores
        fusion = asked_fusion(parameters, scores, asked.documents)
        call = RerankCall(asked.query, texts, model=head.model, fusion=fusion)
        return DashScopeParsed((call,), parameters.top_n, bool(parameters.return_documents))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"code": problem.code, "message": problem.message, "request_id": request_id}


DASHSCOPE = DashScope()
