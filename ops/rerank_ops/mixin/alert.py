"""One alert: when it fires, how grave that is, and what an operator reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Literal

#: Critical: callers get no answers, or soon will not; wakes somebody. Warning: by the next working day.
Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of the table.

    - `expr` names each of its `limits` by `$name`.
    - `for_minutes`: how long the condition must hold.
    - `reason`: why these limits and this time.
    - `summary` and `description` are Prometheus's templates.
    """

    name: str
    severity: Severity
    expr: str
    for_minutes: int
    reason: str
    summary: str
    description: str
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """The expression with its limits."""
        return Template(self.expr).substitute({name: f"{limit:g}" for name, limit in self.limits.items()})

    @property
    def anchor(self) -> str:
        """The heading of docs/runbook.md that tells what to do, as a link writes it."""
        return self.name.lower()
