"""Policy of a simulated fleet: the rules that it follows. Each can be switched off, to show its effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from rerank_shared.errors import InvalidRequest
from rerank_shared.scheduling.urgency import due_at

Order = Literal["edf", "slack", "fifo"]
_ORDERS: tuple[Order, ...] = ("edf", "slack", "fifo")
_SWITCHES = ("shard", "refuse", "gate", "floor")


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules.

    `order` edf: earliest deadline first, as in the fleet; slack: least time between predicted end and deadline first;
    fifo: in order of arrival, without tenants. `shard` off: a request is one job. `refuse` off: no admission. `gate`
    off: a process takes as many jobs as its threads allow. `floor` off: bulk runs only when nothing else waits.
    """

    order: Order = "edf"
    shard: bool = True
    refuse: bool = True
    gate: bool = True
    floor: bool = True

    def due_at(self, *, deadline_at: float, run_s: float, entered_at: float, aging_s: float) -> float:
        """Return the urgency of a job in this order; the smallest is next."""
        match self.order:
            case "edf":
                return due_at(deadline_at=deadline_at, entered_at=entered_at, aging_s=aging_s)
            case "slack":
                # A job that can't be done in time has no slack, and must not run before jobs that can be done.
                start_at = deadline_at - run_s if entered_at + run_s <= deadline_at else deadline_at
                return due_at(deadline_at=start_at, entered_at=entered_at, aging_s=aging_s)
            case "fifo":
                return entered_at

    def varied(self, words: str) -> Policy:
        """Return this policy changed by words joined with +: edf, slack, fifo; shard, refuse, gate, floor, or one of
        these four after no-. Raises InvalidRequest."""
        policy = self
        for word in words.split("+"):
            name = word.removeprefix("no-")
            if word in _ORDERS:
                changed: dict[str, Any] = {"order": word}
            elif name in _SWITCHES:
                changed = {name: name == word}
            else:
                known = ", ".join((*_ORDERS, *_SWITCHES))
                raise InvalidRequest(f"policy {words!r}: {word!r} is none of {known}, nor one of them after no-")
            policy = replace(policy, **changed)
        return policy
