"""A body at /v1/rerank that may be Cohere's or Voyage's, where no field says which.

The answer has `results` for Cohere's clients and `data` for Voyage's. Errors have the fields of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rerank_producer.apis.cohere import COHERE_V1, CohereV1Parsed
from rerank_producer.apis.cohere_bodies import CohereV1Request, CohereV1Response
from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.generic_error import GenericError
from rerank_producer.apis.voyage import VoyageResult


class CohereOrVoyageResponse(CohereV1Response):
    """Answer to a body that may be Cohere's or Voyage's."""

    data: list[VoyageResult]


@dataclass(frozen=True, slots=True)
class CohereOrVoyageParsed:
    """A body, read as Cohere's: that takes every body of Voyage's."""

    cohere: CohereV1Parsed

    @property
    def calls(self) -> Sequence[RerankCall]:
        """The calls of the body."""
        return self.cohere.calls

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        content = self.cohere.render(request_id, replies)
        data = [{"relevance_score": each["relevance_score"], "index": each["index"]} for each in content["results"]]
        if self.cohere.returned is not None:
            for result in data:
                result["document"] = reply.call.documents[result["index"]]
        return content | {"data": data}


class CohereOrVoyage:
    """`POST /v1/rerank` where the body may be Cohere's or Voyage's."""

    name: str = "cohere-or-voyage"
    request: type[BaseModel] = CohereV1Request
    response: type[BaseModel] = CohereOrVoyageResponse
    error: type[BaseModel] = GenericError

    def parse(self, body: Any) -> CohereOrVoyageParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        return CohereOrVoyageParsed(COHERE_V1.parse(body))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return COHERE_V1.problem(problem, request_id)


COHERE_OR_VOYAGE = CohereOrVoyage()
