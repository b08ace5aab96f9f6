"""Spans of jobs by OpenTelemetry's conventions for messaging: their attributes, and the headers that carry a context.

The context travels in the headers of the Celery message, where Celery's own instrumentation has it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rerank_shared.tracing.spans import Attributes, Carrier

#: The headers of a message that carry a context.
TRACE_HEADERS = ("traceparent", "tracestate")
Operation = Literal["send", "process", "settle"]
_SYSTEM = "redis"


def span_name(operation: Operation, queue: str | None) -> str:
    """Return the name of a span; `queue` None: the jobs are of several queues."""
    return operation if queue is None else f"{operation} {queue}"


def attributes_of(operation: Operation, queue: str | None, **more: str | int) -> Attributes:
    """Return the attributes of a span; `more` are others of the conventions, with `__` for the dot."""
    found: dict[str, str | int] = {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    if queue is not None:
        found["messaging.destination.name"] = queue
    return found | {f"messaging.{name.replace('__', '.')}": value for name, value in more.items()}


def request_id_of(job_id: str) -> str:
    """Return the id of the request that a job is one shard of: shards have its id and a number behind it."""
    return job_id.partition("-")[0]


def carrier_in(headers: Mapping[str, Any]) -> Carrier:
    """Return the context in the headers of a message, which any sender may have written."""
    found = {name: headers.get(name) for name in TRACE_HEADERS}
    return {name: value for name, value in found.items() if isinstance(value, str)}
