"""Urgency headers: a message's place in the queue, with defaults for messages of plain Celery senders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rerank_shared.contract.messages import Job

#: A message without a due time is due this long after it was sent.
DEFAULT_DUE_S = 10.0


@dataclass(frozen=True, slots=True)
class Urgency:
    """A job's place in the queue: due time (epoch seconds), tokens it is charged for, tenant that is charged."""

    due_at: float
    tokens: int
    tenant: str


def urgency_of(job: Job) -> Urgency:
    """Return a job's urgency."""
    return Urgency(job.due_at, max(1, job.tokens), job.tenant)


def read_urgency(headers: dict[str, Any], now: float) -> Urgency:
    """Return the urgency in the headers. Missing or wrong values count as a small job sent now without a tenant."""
    tenant = headers.get("tenant")
    return Urgency(
        due_at=_number(headers.get("due_at"), now + DEFAULT_DUE_S),
        tokens=max(1, int(_number(headers.get("tokens"), 1))),
        tenant=tenant if isinstance(tenant, str) else "",
    )


def write_urgency(message: dict[str, Any], urgency: Urgency) -> None:
    """Write the urgency into a kombu message, so that its place can be found again from the message alone."""
    headers = message["headers"] = dict(message.get("headers") or {})
    headers |= {"due_at": urgency.due_at, "tokens": urgency.tokens, "tenant": urgency.tenant}


def _number(value: Any, default: float) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else default
