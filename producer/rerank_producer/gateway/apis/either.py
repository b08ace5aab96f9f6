"""A body at /v1/rerank that may be Cohere's or Voyage's: nothing in it tells which, and each finds what it reads.

`results` for the one, `data` for the other. Errors have each one's field anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rerank_producer.gateway.apis.ask import Answer, Ask, Problem
from rerank_producer.gateway.apis.cohere import COHERE_V1, CohereV1Parsed
from rerank_producer.gateway.apis.cohere_bodies import CohereV1Request, CohereV1Response
from rerank_producer.gateway.apis.told import ToldError
from rerank_producer.gateway.apis.voyage import VoyageResult


class EitherResponse(CohereV1Response):
    """Answer to a body that may be Cohere's or Voyage's."""

    data: list[VoyageResult]


@dataclass(frozen=True, slots=True)
class EitherParsed:
    """A body that was read as Cohere's, which takes all that Voyage's may be."""

    cohere: CohereV1Parsed

    @property
    def asks(self) -> Sequence[Ask]:
        """What to ask."""
        return self.cohere.asks

    def render(self, request_id: str, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the answer's body."""
        (answer,) = answers
        content = self.cohere.render(request_id, answers)
        data = [{"relevance_score": each["relevance_score"], "index": each["index"]} for each in content["results"]]
        if self.cohere.returned is not None:
            for result in data:
                result["document"] = answer.ask.documents[result["index"]]
        return content | {"data": data}


class Either:
    """`POST /v1/rerank` where the body may be Cohere's or Voyage's."""

    name: str = "cohere-or-voyage"
    request: type[BaseModel] = CohereV1Request
    response: type[BaseModel] = EitherResponse
    error: type[BaseModel] = ToldError

    def parse(self, body: Any) -> EitherParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        return EitherParsed(COHERE_V1.parse(body))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return COHERE_V1.problem(problem, request_id)


EITHER = Either()
