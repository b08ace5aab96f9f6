"""What is told of a request that failed before it was known which API it is of: each client finds the field it reads.

Cohere's clients read `message`, Jina's and Voyage's `detail`, those of Text Embeddings Inference `error`.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import BaseModel

from rerank_producer.gateway.ask import Problem
from rerank_shared.errors import InternalError


class UndecidedError(BaseModel):
    """An error, under the names of several APIs."""

    message: str
    detail: str
    error: str


class Undecided:
    """Stands for the API of a path that several share, until the body is read."""

    name: str = "undecided"
    request: type[BaseModel] = BaseModel
    response: type[BaseModel] = BaseModel
    error: type[BaseModel] = UndecidedError

    def parse(self, body: Any) -> NoReturn:
        """Not to be called: a body that is read is of some API."""
        raise InternalError("a body was read by no API")

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"message": problem.message, "detail": problem.message, "error": problem.message}


UNDECIDED = Undecided()
