"""The rerank of Text Embeddings Inference: a bare list, best first, and scores that are sigmoids unless raw.

A model's name is ignored, as its server ignores it: clients send names that the server does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.first_stage import FusionFields, asked_fusion
from rerank_producer.apis.common.ranking import probability, raw, rows
from rerank_producer.apis.common.validation import Texts, TopN, read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest, JobPoisoned, Overloaded, QueueUnavailable, ScoringFailed, UnknownModel

ErrorType = Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]
_EMPTY = "`texts` cannot be empty"
EMPTY_STATUS = 400
#: Status and type of the errors that its clients know; other errors keep their status.
_AS_THERE: dict[str, tuple[int, ErrorType]] = {
    InvalidRequest.code: (422, "Validation"),
    # A request names no model, so the fleet's own is missing.
    UnknownModel.code: (503, "Unhealthy"),
    ScoringFailed.code: (424, "Backend"),
    JobPoisoned.code: (424, "Backend"),
}


class TeiRequest(FusionFields):
    """Body of `POST /rerank` with `texts`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "What is Deep Learning?",
                    "texts": ["Deep Learning is a branch of machine learning.", "Cheese is made of milk."],
                    "return_text": True,
                }
            ]
        }
    )
    expected: ClassVar[dict[str, str]] = {
        "query": "a text expected",
        "texts": "a list of texts expected",
        "texts[]": "a text expected",
        "top_n": "a whole number from 0 expected (0: all)",
        "truncation_direction": "Left or Right expected",
    }

    query: Text = Field(description="What the texts are compared with.")
    texts: Texts = Field(description="Candidates.")
    raw_scores: bool | None = Field(None, description="True: logits. Else their sigmoids.")
    return_text: bool | None = Field(None, description="Whether the answer repeats the texts. Not by default.")
    top_n: TopN | None = Field(
        None, description="Not of the original, which ignores it: how many of the best to answer (LiteLLM sends it)."
    )
    truncate: bool | None = Field(None, description="Accepted and ignored: over-long texts are always cut.")
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = Field(
        None, description="Accepted and ignored: texts are cut at their end."
    )


class TeiRank(BaseModel):
    """A text's place in the answer, best first."""

    index: int = Field(description="Its position in `texts`.")
    score: float = Field(description="The higher, the more relevant.")
    text: str | None = Field(None, description="The text, where that was asked for.")


class TeiResponse(RootModel[list[TeiRank]]):
    """Answer to `POST /rerank` with `texts`."""


class TeiError(BaseModel):
    """An error of Text Embeddings Inference."""

    error: str
    error_type: ErrorType


@dataclass(frozen=True, slots=True)
class TeiParsed:
    """A body of `POST /rerank` with `texts`."""

    calls: tuple[RerankCall]
    top_n: int | None
    raw_scores: bool
    return_text: bool

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> list[dict[str, Any]]:
        """Return the answer's body."""
        (reply,) = replies
        ranked = rows(reply.response, self.top_n, raw if self.raw_scores else probability)
        if not self.return_text:
            return [{"index": index, "score": score} for index, score in ranked]
        return [{"index": index, "text": reply.call.documents[index], "score": score} for index, score in ranked]


class Tei:
    """`POST /rerank` with `texts`."""

    name: str = "tei"
    request: type[BaseModel] = TeiRequest
    response: type[BaseModel] = TeiResponse
    error: type[BaseModel] = TeiError

    def parse(self, body: Any) -> TeiParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(TeiRequest, body)
        if not request.texts:
            raise InvalidRequest(_EMPTY)
        fusion = asked_fusion(request, request.scores, request.texts, "texts")
        call = RerankCall(request.query, request.texts, fusion=fusion)
        return TeiParsed((call,), request.top_n, bool(request.raw_scores), bool(request.return_text))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        status, kind = _AS_THERE.get(problem.code, (problem.status, _type(problem)))
        if problem.message == _EMPTY:
            status, kind = EMPTY_STATUS, "Empty"
        return status, {"error": problem.message, "error_type": kind}


def _type(problem: Problem) -> ErrorType:
    if problem.status == 429 or problem.code == Overloaded.code:
        return "Overloaded"
    if problem.code == QueueUnavailable.code:
        return "Unhealthy"
    return "Backend" if problem.status >= 500 else "Validation"


TEI = Tei()
