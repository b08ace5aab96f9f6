"""A request and its jobs on their way, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rerank_ops.simulate.model.workload import Request

#: met: all pairs scored in time; partial: some, and the caller takes them; late: none, or not all for a caller who
#: wants all; refused: at the door, by the client or by a worker.
End = Literal["met", "partial", "late", "refused"]
ENDS: tuple[End, ...] = ("met", "partial", "late", "refused")


@dataclass(slots=True, eq=False)
class Call:
    """One request that was made. `open_jobs` are those of its jobs that were not answered yet."""

    request: Request
    deadline_at: float
    jobs: list[Job] = field(default_factory=list)
    open_jobs: int = 0
    parts: int = 0
    scored: int = 0
    refused: bool = False
    cached: bool = False
    end: End | None = None
    latency_s: float = 0.0


@dataclass(slots=True, eq=False)
class Job:
    """A request or a part of it, from when it was sent until it is answered.

    `predicted_s` is its run as the client predicts it, `deadline` when a worker answers at the latest; it is `counted`
    while the backlog counts it.
    """

    call: Call
    lengths: list[int]
    tokens: int
    predicted_s: float
    due_at: float
    deadline: float
    scored: int = 0
    counted: bool = True
    answered: bool = False
    refused: bool = False
