"""What the runs of a plan are made of, for the cost model: pure arithmetic on lengths, without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rerank_shared.models.precision import PlanName
from rerank_shared.scheduling.cost import Work
from rerank_shared.settings import TunedSettings


@dataclass(frozen=True, slots=True)
class PlanWork:
    """Turns lengths of pairs into work. `run_pairs` and `run_tokens` bound a run that pairs share."""

    plan: PlanName = "single"
    run_pairs: int = 4
    run_tokens: int = 1_024

    @classmethod
    def of(cls, settings: TunedSettings) -> Self:
        """Return the work of the plan that the settings ask for."""
        return cls(settings.plan, settings.run_pairs, settings.run_tokens)

    @property
    def most_pairs(self) -> int | None:
        """How many pairs a batch may have, None for as many as fit: in plan single more than one run gains nothing."""
        return self.run_pairs if self.plan == "single" else None

    def pair(self, tokens: int) -> Work:
        """Return what one pair adds, where runs are as full as they may be."""
        if self.plan == "single":
            return Work.pair(tokens)
        together = max(1, min(self.run_pairs, self.run_tokens // tokens))
        return Work(1.0 / together, tokens, tokens * tokens)

    def run(self, lengths: Sequence[int]) -> Work:
        """Return the work of one run of pairs of these lengths; in plan single they run one after another."""
        if self.plan == "single":
            return Work.of(lengths)
        if self.plan == "buckets":
            return Work.padded(len(lengths), max(lengths))
        return Work(1.0, sum(lengths), sum(length * length for length in lengths))
