"""Patience: which failures of a request are waited out, for how long, and which are an answer. Pure.

A fleet that is away, full or slow fails no row. A row that no worker can score fails alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from rerank_shared.errors import (
    ConfigurationError,
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

#: Failures that come from the fleet's state, whatever the request is. They are waited out.
_OF_FLEET = (Overloaded, DeadlineExceeded, JobLost, QueueUnavailable)
#: How often a request is sent to a fleet that serves other models only: half a minute, in which workers may restart.
_UNKNOWN_MODEL_SENDS = 8
#: Failures that may be the row's own, and how often it is sent before they count as such.
_SENDS: dict[type[RerankError], int] = {JobPoisoned: 2, ScoringFailed: 3, InternalError: 3, JobRevoked: 3}
#: Failures that no row and no waiting mends.
_FATAL = (WireError, ConfigurationError)
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Again:
    """Send the request again after `pause_s` seconds."""

    pause_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The whole run ends: no row could be scored any more."""


@dataclass(frozen=True, slots=True)
class RowFails:
    """The failure is the row's answer."""


def verdict(error: RerankError, failures: int) -> Again | GiveUp | RowFails:
    """Return what follows from the `failures`-th failure of one request, counted from 1."""
    if isinstance(error, _FATAL) or (isinstance(error, QueueUnavailable) and error.reason in LASTING):
        return GiveUp()
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 10))
    if isinstance(error, Overloaded):
        pause_s = min(_LONGEST_PAUSE_S, max(pause_s, error.retry_after_s))
    if isinstance(error, _OF_FLEET):
        return Again(pause_s)
    if isinstance(error, UnknownModel):
        return Again(pause_s) if failures < _UNKNOWN_MODEL_SENDS else GiveUp()
    if isinstance(error, InvalidRequest):
        return RowFails()
    sends = next((most for kind, most in _SENDS.items() if isinstance(error, kind)), 1)
    return Again(pause_s) if failures < sends else RowFails()
