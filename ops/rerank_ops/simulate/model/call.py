"""Call: a request in flight with its jobs, and its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rerank_ops.simulate.model.workload import Request

#: met: all pairs scored in time; partial: some pairs, and the caller accepts them; late: no pair, or not all for a
#: caller that needs all; refused: by admission, in the client or in a worker.
End = Literal["met", "partial", "late", "refused"]
ENDS: tuple[End, ...] = ("met", "partial", "late", "refused")


@dataclass(slots=True, eq=False)
class Call:
    """One request in flight. `open_jobs` is the number of its unanswered jobs; `then` hears its end."""

    request: Request
    deadline_at: float
    then: Callable[[Call], None] | None = None
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
    """A job: a request or a shard of it, from its sending to its answer.

    `predicted_s` is the client's prediction of its run, `deadline` the latest time of a worker's answer. It is
    `counted` while the backlog contains it.
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
