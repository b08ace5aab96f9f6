"""What went wrong, told under the names that several APIs have for it, where a body does not say whose client sent it.

Cohere's clients read `message`, Jina's and Xinference's `detail`, those of vLLM, llama.cpp and Infinity `error`, as
OpenAI has it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from rerank_producer.gateway.apis.ask import Problem

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


class ToldError(BaseModel):
    """An error, under the names of several APIs."""

    message: str
    detail: str
    error: ErrorInfo


def error_info(problem: Problem) -> dict[str, Any]:
    """Return the object that OpenAI's clients find under `error`."""
    kind = _TYPES.get(problem.status, "BadRequestError" if problem.status < 500 else "InternalServerError")
    return {"message": problem.message, "type": kind, "param": None, "code": problem.status}


def told(problem: Problem) -> dict[str, Any]:
    """Return the body of an error for whoever reads it."""
    return {"message": problem.message, "detail": problem.message, "error": error_info(problem)}
