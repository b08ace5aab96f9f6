"""Errors of a request: the gateway's own exceptions, and from any exception to the `Problem` that a caller reads. Pure.

A caller never reads what only the operator should know: addresses, settings, records of other releases, what broke. The
caller gets a request id, and the log has the rest.
"""

from __future__ import annotations

from rerank_producer.apis.common.call import Problem
from rerank_shared.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    JobLost,
    JobPoisoned,
    JobRevoked,
    NoWorkers,
    Overloaded,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
    UnknownModel,
    WireError,
)
from rerank_shared.redis.outage import LASTING

#: Status by error. The caller reads the error's own message, which was written for callers.
_STATUS: dict[type[RerankError], int] = {
    InvalidRequest: 400,
    UnknownModel: 404,
    Overloaded: 429,
    DeadlineExceeded: 504,
    NoWorkers: 503,
    JobRevoked: 499,
    JobLost: 503,
    ScoringFailed: 500,
    JobPoisoned: 500,
}
#: Message by reason of an outage. It says whether the outage passes, and never what Redis said.
_OUTAGES: dict[str, str] = {
    "out_of_memory": "the fleet's queue is full at the moment; try again later",
    "loading": "the fleet's queue is starting; try again",
} | dict.fromkeys(LASTING, "the fleet's queue refuses this gateway; tell whoever runs this fleet, with the request id")
#: Status and message by error. The error's own message is for the operator.
_HIDDEN: dict[type[RerankError], tuple[int, str]] = {
    QueueUnavailable: (503, "the fleet's queue can't be reached at the moment; try again"),
    WireError: (502, "a worker's answer could not be read; tell whoever runs this fleet, with the request id"),
}
_INTERNAL = "something went wrong here; tell whoever runs this fleet, with the request id"
#: Retry-After where the wait is not known.
_RETRY_AFTER_S = 1.0
#: The same where a process must start first, and load a model.
_START_S = 5.0


class Refused(Exception):
    """The gateway refuses a request; `problem` is its answer. Never carries a byte of the body, nor a key."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.message}")
        self.problem = problem


class ClientGone(Exception):
    """The client hung up before its answer."""


def problem_of(error: Exception) -> Problem:
    """Return what the caller reads of an error. An unknown error is a 500 without details."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, ClientGone):
        return Problem(499, "client_gone", "the client hung up before its answer")
    for kind in type(error).__mro__:
        if kind in _STATUS and isinstance(error, RerankError):
            return Problem(_STATUS[kind], error.code, error.message, error.retryable, _retry_after_s(error))
        if kind in _HIDDEN and isinstance(error, RerankError):
            status, message = _HIDDEN[kind]
            if isinstance(error, QueueUnavailable):
                message = _OUTAGES.get(error.reason, message)
            return Problem(status, error.code, message, error.retryable, _retry_after_s(error))
    return Problem(500, InternalError.code, _INTERNAL)


def _retry_after_s(error: RerankError) -> float | None:
    if isinstance(error, Overloaded):
        return error.retry_after_s if error.retry_after_s > 0 else _RETRY_AFTER_S
    if isinstance(error, NoWorkers):
        return _START_S
    return _RETRY_AFTER_S if isinstance(error, QueueUnavailable | JobLost) else None
