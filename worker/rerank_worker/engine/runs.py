"""Which pairs of a batch share a run: pure arithmetic on lengths.

On CPU a run of several pairs gains nothing (the matrix product of one pair is already at full rate) and padding costs;
on a device where a run has a fixed cost, larger runs pay until memory or the tightest deadline forbids. `tune`
measures where that is on a host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rerank_shared.models.precision import PlanName
from rerank_shared.settings import TunedSettings

#: Pairs whose last rows share one run of the tail, see tail.py; also how often the scorer looks at deadlines.
SHARED_ROWS = 4


@dataclass(frozen=True, slots=True)
class RunShape:
    """How large a run may be: pairs, and tokens (padding counted in buckets). One pair alone is always a run."""

    plan: PlanName = "single"
    pairs: int = SHARED_ROWS
    tokens: int = 1_024

    @classmethod
    def of(cls, settings: TunedSettings) -> Self:
        """Return the shape that the settings ask for."""
        return cls(settings.plan, settings.run_pairs, settings.run_tokens)

    def split(self, lengths: Sequence[int]) -> list[range]:
        """Return consecutive ranges of pair indices, each one run; pass lengths sorted so that padding is small."""
        runs: list[range] = []
        start, total, longest = 0, 0, 0
        for index, length in enumerate(lengths):
            grown, highest = total + length, max(longest, length)
            cost = highest * (index + 1 - start) if self.plan == "buckets" else grown
            if index > start and (index - start >= self.pairs or cost > self.tokens):
                runs.append(range(start, index))
                start, grown, highest = index, length, length
            total, longest = grown, highest
        if lengths:
            runs.append(range(start, len(lengths)))
        return runs
