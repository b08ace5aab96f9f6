"""What stands for an API where there is none: on a path of several before a body is read, and where no body is taken.

Each client finds the field that it reads: Cohere's `message`, Jina's and Voyage's `detail`. As `error` those of Text
Embeddings Inference read a text, those that know OpenAI an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel

from rerank_producer.gateway.apis.ask import Problem
from rerank_producer.gateway.apis.told import ToldError, told
from rerank_shared.errors import InternalError


class PlainError(BaseModel):
    """An error, under the names of several APIs; each of them holds a text."""

    message: str
    detail: str
    error: str


@dataclass(slots=True)
class StandIn:
    """Tells errors in one shape; no body is of it."""

    name: str
    error: type[BaseModel]
    body: Callable[[Problem], dict[str, Any]]
    request: type[BaseModel] = BaseModel
    response: type[BaseModel] = BaseModel

    def parse(self, body: Any) -> NoReturn:
        """Not to be called: a body that is read is of some API."""
        raise InternalError("a body was read by no API")

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return problem.status, self.body(problem)


def _plain(problem: Problem) -> dict[str, Any]:
    return dict.fromkeys(PlainError.model_fields, problem.message)


#: Where clients of Text Embeddings Inference are not expected.
TOLD = StandIn("told", ToldError, told)
#: Where they are.
PLAIN = StandIn("plain", PlainError, _plain)
