"""Specification of a simulated fleet: its size, its cost of running, and the settings that its parts read."""

from __future__ import annotations

from dataclasses import dataclass, field

from rerank_shared.scheduling.admission import LOAD_REMEMBERED_S
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.scheduling.urgency import REPLY_MARGIN_PER_PAIR_S, REPLY_MARGIN_S
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """A fleet of one model. Clients remember a read of the backlog for `remembered_s`.

    `hand_off_s` is the time of a request besides waiting and running (client, queue, tokenizer), half of it each way.
    `weight` is the model's share of tokens in a process that serves others too.
    """

    processes: int
    cost: CostParameters
    concurrency: int = 16
    lookahead_s: float = 0.1
    aging_s: float = 10.0
    bulk_share: float = 0.05
    budget_tokens: int = 2_048
    max_wait_s: float = 0.0
    shape: RunShape = field(default_factory=RunShape)
    hand_off_s: float = 0.005
    reply_margin_s: float = REPLY_MARGIN_S
    reply_margin_per_pair_s: float = REPLY_MARGIN_PER_PAIR_S
    remembered_s: float = LOAD_REMEMBERED_S
    weight: float | None = None

    @classmethod
    def of(cls, settings: Settings, processes: int, cost: CostParameters, **changes: float) -> FleetSpec:
        """Return a fleet with the settings in force."""
        return cls(
            processes=processes,
            cost=cost,
            concurrency=settings.concurrency,
            lookahead_s=settings.lookahead_ms / 1000,
            aging_s=settings.aging_s,
            bulk_share=settings.bulk_share,
            budget_tokens=settings.budget_tokens,
            max_wait_s=settings.max_wait_ms / 1000,
            shape=RunShape.of(settings),
            **changes,
        )
