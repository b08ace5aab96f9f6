"""Errors: all that a user of the fleet can see, in one tree.

A job's record carries the name of the class; `code` is its name for metrics, logs and other languages.

RerankError
├── InvalidRequest            the request itself is wrong; sending it again cannot help
│   └── UnknownModel          no worker serves the model that was asked for
├── Overloaded                refused by admission: the fleet could not have answered before the deadline
├── DeadlineExceeded          the answer did not come in time
│   ├── DeadlineTooShort      refused by admission: an idle fleet could not have kept it either
│   └── NoWorkers             no process that serves the model was alive at the deadline
├── JobRevoked                the job was cancelled before it was scored
├── JobLost                   the job's text or record is gone, so it can't be answered any more
├── ScoringFailed             the model could not score a pair of this request
├── JobPoisoned               each worker that took the job died of it, so it was set aside
├── QueueUnavailable          Redis can't be reached or refuses, or was lost and did not come back in time
├── WireError                 bytes that this version does not read
│   ├── UnsupportedVersion    written by a newer (or much older) Rerank Fleet
│   ├── MalformedMessage      not a message of ours at all
│   └── RefusedContent        a content type that is never opened, such as pickle
├── BulkRefused               a bulk run does not begin, or does not go on
│   ├── InputRefused          its input is not what its format says
│   ├── RunDiffers            it was begun with other options, or its files have changed since
│   ├── OutputInUse           another command writes the same output, or it exists already
│   └── FleetGone             the fleet gave no answer for as long as the run waits, or refuses for good
├── ConfigurationError        the installation or its settings are wrong
│   ├── UnknownSetting        a RERANK_ variable or a keyword that no setting reads
│   ├── ModelUnavailable      a model's package or file is missing
│   ├── ModelDamaged          a model's file differs from the one that its digest names
│   ├── ModelRefused          an artefact that has not passed its quality gate
│   ├── ServerUnavailable     no Redis-compatible server could be found or started
│   └── RouteChanged          a route has another version than its change expects
└── InternalError             an invariant broke: this is a bug

`retryable` says whether the same request, unchanged, may succeed later.
"""

from __future__ import annotations

from typing import ClassVar


class RerankError(Exception):
    """Base of all errors of Rerank Fleet."""

    code: ClassVar[str] = "rerank_error"
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        """The human-readable part, without the class name."""
        return str(self.args[0]) if self.args else self.__class__.__name__


class InvalidRequest(RerankError):
    """The request itself is wrong; the message names the field."""

    code = "invalid_request"


class UnknownModel(InvalidRequest):
    """No worker of this fleet serves the model that was asked for."""

    code = "unknown_model"


class Overloaded(RerankError):
    """The request was refused because it could not have been answered before its deadline: nothing was computed.

    `predicted_wait_ms` is the wait before its first run. After `retry_after_s` seconds the same request would fit if no
    other came.
    """

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, predicted_wait_ms: float = 0.0, retry_after_s: float = 0.0) -> None:
        super().__init__(message, predicted_wait_ms, retry_after_s)
        self.predicted_wait_ms = predicted_wait_ms
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class DeadlineExceeded(RerankError):
    """The answer did not come before the request's deadline."""

    code = "deadline_exceeded"
    retryable = True


class DeadlineTooShort(DeadlineExceeded):
    """The request was refused because even an idle fleet could not have answered it in time: nothing was computed."""

    code = "deadline_too_short"


class NoWorkers(DeadlineExceeded):
    """The fleet knows the model, and no process that serves it was alive at the deadline: nothing was computed.

    Until then the request waited, and counted for autoscalers.
    """

    code = "no_workers"


class JobRevoked(RerankError):
    """The job was cancelled before it was scored."""

    code = "job_revoked"


class JobLost(RerankError):
    """The job's text or its record is gone (expired, evicted, or never there)."""

    code = "job_lost"
    retryable = True


class ScoringFailed(RerankError):
    """The model could not score a pair of this request; others in the same batch were answered."""

    code = "scoring_failed"


class JobPoisoned(RerankError):
    """Each worker that took the job died or fell silent, so it was set aside: see `rerank-fleet dead list`."""

    code = "job_poisoned"


class QueueUnavailable(RerankError):
    """Redis can't be reached, refuses, or was lost during a request and did not come back before the deadline.

    `reason` is the kind of an Outage (`rerank_shared.redis.outage`): unreachable, silent, tls, credentials, permission,
    database, cluster, read_only, out_of_memory, loading or refused.
    """

    code = "queue_unavailable"
    retryable = True

    def __init__(self, message: str, reason: str = "unreachable") -> None:
        super().__init__(message, reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.message


class WireError(RerankError):
    """Bytes that this version does not read."""

    code = "wire_error"


class UnsupportedVersion(WireError):
    """A message of a wire version that this installation does not know."""

    code = "unsupported_version"


class MalformedMessage(WireError):
    """Bytes that are no message of Rerank Fleet, or one with missing or wrong fields."""

    code = "malformed_message"


class RefusedContent(WireError):
    """A message of a content type that is never opened, such as pickle."""

    code = "refused_content"


class BulkRefused(RerankError):
    """A bulk run does not begin, or does not go on; what was committed stays as it is."""

    code = "bulk_refused"


class InputRefused(BulkRefused):
    """The input of a bulk run is not what its format says; the message names file and row."""

    code = "input_refused"


class RunDiffers(BulkRefused):
    """A bulk run was begun with other options, or its files have changed since; the message lists what differs."""

    code = "run_differs"


class OutputInUse(BulkRefused):
    """Another command writes the same output, or the output exists and is not of a run that can go on."""

    code = "output_in_use"


class FleetGone(BulkRefused):
    """The fleet gave no answer for as long as a bulk run was told to wait, or refuses for good."""

    code = "fleet_gone"


class ConfigurationError(RerankError):
    """The installation or its settings are wrong; the message says how to fix it."""

    code = "configuration_error"


class UnknownSetting(ConfigurationError):
    """A variable with the prefix RERANK_, or a keyword, that no setting reads: most likely a misspelling."""

    code = "unknown_setting"


class ModelUnavailable(ConfigurationError):
    """A model's package, directory or file is missing."""

    code = "model_unavailable"


class ModelDamaged(ConfigurationError):
    """A model's file differs from the one that its digest names."""

    code = "model_damaged"


class ModelRefused(ConfigurationError):
    """An artefact that failed its quality gate, or never went through it."""

    code = "model_refused"


class ServerUnavailable(ConfigurationError):
    """No Redis-compatible server could be found, reached or started."""

    code = "server_unavailable"


class RouteChanged(ConfigurationError):
    """A route has another version than its change expects: somebody else changed it; nothing was written."""

    code = "route_changed"


class InternalError(RerankError):
    """An invariant broke: this is a bug."""

    code = "internal_error"


def _tree(root: type[RerankError]) -> list[type[RerankError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_CODE: dict[str, type[RerankError]] = {cls.code: cls for cls in _tree(RerankError)}


def from_code(code: str, message: str) -> RerankError:
    """Return the error that `code` names; an unknown code becomes a RerankError that quotes it."""
    cls = BY_CODE.get(code)
    return cls(message) if cls else RerankError(f"{message} (error code {code!r}, unknown to this version)")
