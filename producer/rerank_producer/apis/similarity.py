"""Sentence similarity, for Hugging Face's inference clients: one sentence with many, scores in their order.

Those clients have no call for a reranker; this call has the same input. Scores are sigmoids of the cross-encoder's
logits. Errors are those of Text Embeddings Inference, which has the path too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, RootModel

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.ranking import probability, rows
from rerank_producer.apis.common.validation import Body, Texts, read
from rerank_producer.apis.tei import EMPTY_STATUS, TEI, TeiError
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest

_EMPTY = "`sentences` cannot be empty"
_EXAMPLE: dict[str, Any] = {
    "source_sentence": "capital of France?",
    "sentences": ["Paris is.", "Berlin is Germany's."],
}


class SimilarityInputs(Body):
    """What is compared."""

    expected: ClassVar[dict[str, str]] = {
        "source_sentence": "a text expected",
        "sentences": "a list of texts expected",
        "sentences[]": "a text expected",
    }

    source_sentence: Text = Field(description="The query.")
    sentences: Texts = Field(description="What it is compared with.")


class SimilarityRequest(BaseModel):
    """Body of `POST /similarity`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": _EXAMPLE}]})

    inputs: SimilarityInputs


class SimilarityResponse(RootModel[list[float]]):
    """Answer to `POST /similarity`: a score for each sentence, in the order they came."""


@dataclass(frozen=True, slots=True)
class SimilarityParsed:
    """A body of `POST /similarity`."""

    calls: tuple[RerankCall]

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> list[float]:
        """Return the answer's body."""
        (reply,) = replies
        return [score for _, score in sorted(rows(reply.response, score=probability))]


class Similarity:
    """`POST /similarity`."""

    name: str = "similarity"
    request: type[BaseModel] = SimilarityRequest
    response: type[BaseModel] = SimilarityResponse
    error: type[BaseModel] = TeiError

    def parse(self, body: Any) -> SimilarityParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        given = body.get("inputs") if isinstance(body, dict) else None
        if not isinstance(given, dict):
            raise InvalidRequest("inputs: an object of a text `source_sentence` and a list `sentences` expected")
        inputs = read(SimilarityInputs, given)
        if not inputs.sentences:
            raise InvalidRequest(_EMPTY)
        return SimilarityParsed((RerankCall(inputs.source_sentence, inputs.sentences),))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        if problem.message == _EMPTY:
            return EMPTY_STATUS, {"error": _EMPTY, "error_type": "Empty"}
        return TEI.problem(problem, request_id)


SIMILARITY = Similarity()
