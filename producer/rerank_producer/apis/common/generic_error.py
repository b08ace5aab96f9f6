"""Errors for clients of an unknown API: on a path of several APIs before a body is read, and on paths without a body.

Each client finds the field that it reads. Cohere's clients read `message`. Those of Jina, Voyage and Xinference read
`detail`. Those of vLLM, llama.cpp and Infinity read `error` as an object, as OpenAI has it; those of Text Embeddings
Inference read `error` as a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel

from rerank_producer.apis.common.call import Problem
from rerank_shared.errors import InternalError

_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
}


class ErrorInfo(BaseModel):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: int


class GenericError(BaseModel):
    """An error, under the names of several APIs."""

    message: str
    detail: str
    error: ErrorInfo


class PlainError(BaseModel):
    """An error, under the names of several APIs; each of them holds a text."""

    message: str
    detail: str
    error: str


@dataclass(slots=True)
class GenericErrorApi:
    """An API that has errors alone: `body` writes them, `error` is their model. No request is of it."""

    name: str
    error: type[BaseModel]
    body: Callable[[Problem], dict[str, Any]]
    request: type[BaseModel] = BaseModel
    response: type[BaseModel] = BaseModel

    def parse(self, body: Any) -> NoReturn:
        """Raise InternalError: a body that was read belongs to another API."""
        raise InternalError("a body was read by no API")

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return problem.status, self.body(problem)


def error_info(problem: Problem) -> dict[str, Any]:
    """Return the object that OpenAI's clients read under `error`."""
    kind = _TYPES.get(problem.status, "BadRequestError" if problem.status < 500 else "InternalServerError")
    return {"message": problem.message, "type": kind, "param": None, "code": problem.status}


def generic_error(problem: Problem) -> dict[str, Any]:
    """Return the body of an error, as GenericError has it."""
    return {"message": problem.message, "detail": problem.message, "error": error_info(problem)}


def plain_error(problem: Problem) -> dict[str, Any]:
    """Return the body of an error, as PlainError has it."""
    return dict.fromkeys(PlainError.model_fields, problem.message)


#: For paths that no client of Text Embeddings Inference asks.
GENERIC_ERRORS = GenericErrorApi("generic", GenericError, generic_error)
#: For paths that such clients ask too.
PLAIN_ERRORS = GenericErrorApi("plain", PlainError, plain_error)
