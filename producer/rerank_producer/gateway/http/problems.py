"""From an exception to the `Problem` that a caller is told: its status, its code, and whether to try again. Pure.

What is the operator's to know (addresses, settings, what other releases wrote, what broke) is never told; the caller
gets a request id, and the log has the rest.
"""

from __future__ import annotations

from rerank_producer.gateway.apis.ask import Problem
from rerank_producer.gateway.http.refused import ClientGone, Refused
from rerank_shared.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    JobLost,
    JobPoisoned,
    JobRevoked,
    Overloaded,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
    UnknownModel,
    WireError,
)
from rerank_shared.redis.outage import LASTING

#: Told with the error's own message, which was written for callers.
_TOLD: dict[type[RerankError], int] = {
    InvalidRequest: 400,
    UnknownModel: 404,
    Overloaded: 429,
    DeadlineExceeded: 504,
    JobRevoked: 499,
    JobLost: 503,
    ScoringFailed: 500,
    JobPoisoned: 500,
}
#: Told in these words: what Redis said is the operator's affair, but whether it passes is the caller's.
_QUEUE: dict[str, str] = {
    "out_of_memory": "the fleet's queue is full at the moment; try again later",
    "loading": "the fleet's queue is starting; try again",
} | dict.fromkeys(LASTING, "the fleet's queue refuses this gateway; tell whoever runs this fleet, with the request id")
#: Told in these words.
_VEILED: dict[type[RerankError], tuple[int, str]] = {
    QueueUnavailable: (503, "the fleet's queue can't be reached at the moment; try again"),
    WireError: (502, "a worker's answer could not be read; tell whoever runs this fleet, with the request id"),
}
_INTERNAL = "something went wrong here; tell whoever runs this fleet, with the request id"
#: Retry-After where nothing better is known.
_RETRY_AFTER_S = 1.0


def problem_of(error: Exception) -> Problem:
    """Return what the caller is told of an error. An unknown one is a 500 that gives nothing away."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, ClientGone):
        return Problem(499, "client_gone", "the client hung up before its answer")
    for kind in type(error).__mro__:
        if kind in _TOLD and isinstance(error, RerankError):
            return Problem(_TOLD[kind], error.code, error.message, error.retryable, _retry_after_s(error))
        if kind in _VEILED and isinstance(error, RerankError):
            status, message = _VEILED[kind]
            if isinstance(error, QueueUnavailable):
                message = _QUEUE.get(error.reason, message)
            return Problem(status, error.code, message, error.retryable, _retry_after_s(error))
    return Problem(500, InternalError.code, _INTERNAL)


def _retry_after_s(error: RerankError) -> float | None:
    if isinstance(error, Overloaded):
        return error.retry_after_s if error.retry_after_s > 0 else _RETRY_AFTER_S
    return _RETRY_AFTER_S if isinstance(error, QueueUnavailable | JobLost) else None
