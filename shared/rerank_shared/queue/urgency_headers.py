"""What a message's headers say of its urgency, and what is assumed of those that a plain Celery sender made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

#: A message that says nothing is due this long after it was sent.
DEFAULT_DUE_S = 10.0


@dataclass(frozen=True, slots=True)
class Urgency:
    """Where a job stands in the queue: epoch seconds, the tokens it is charged for, and who is charged."""

    due_at: float
    tokens: int
    tenant: str


def read_urgency(headers: dict[str, Any], now: float) -> Urgency:
    """Return what the headers say; what they lack or garble is taken as of a small job sent now by nobody."""
    tenant = headers.get("tenant")
    return Urgency(
        due_at=_number(headers.get("due_at"), now + DEFAULT_DUE_S),
        tokens=max(1, int(_number(headers.get("tokens"), 1))),
        tenant=tenant if isinstance(tenant, str) else "",
    )


def write_urgency(message: dict[str, Any], urgency: Urgency) -> None:
    """Put urgency into a message of kombu's, so that its place can be found again from the message alone."""
    headers = message["headers"] = dict(message.get("headers") or {})
    headers |= {"due_at": urgency.due_at, "tokens": urgency.tokens, "tenant": urgency.tenant}


def _number(value: Any, default: float) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else default
