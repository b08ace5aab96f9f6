"""Run shape: splits a batch into runs and gives the work of each run. Pure arithmetic on lengths.

On CPU a run of several pairs gains little (the matrix product of one pair is already at full rate) and padding costs.
On a device where a run has a fixed cost, larger runs pay until memory or the tightest deadline forbids; `tune` finds
the best size on a host. Engine, cost model and simulator all use this shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.cost import Work
from rerank_shared.settings import TunedSettings

#: Pairs whose last rows share one run of the engine's tail; also the pairs between two checks of deadlines by the
#: scoring thread.
SHARED_ROWS = 4


@dataclass(frozen=True, slots=True)
class RunShape:
    """The layout of runs, and the largest size of one: pairs, and tokens (padding counted in layout padded).

    A single pair is always a run, however long it is. In layout unpadded a run is several pairs without padding, which
    the engine runs one after another, or end to end by a kernel.
    """

    layout: LayoutName = "unpadded"
    pairs: int = SHARED_ROWS
    tokens: int = 1_024

    @classmethod
    def of(cls, settings: TunedSettings) -> Self:
        """Return the shape that the settings ask for."""
        return cls(settings.layout, settings.run_pairs, settings.run_tokens)

    @property
    def batch_pairs(self) -> int | None:
        """The largest batch that pays; None: as many pairs as fit. In layout unpadded a second run gains nothing."""
        return self.pairs if self.joins else None

    @property
    def joins(self) -> bool:
        """Whether the runs of a batch may be joined into a larger one, where it ends soon: it changes no score then."""
        return self.layout == "unpadded"

    def split(self, lengths: Sequence[int]) -> list[range]:
        """Return consecutive ranges of pair indices, each one run; pass lengths sorted so that padding is small."""
        runs: list[range] = []
        start, total, longest = 0, 0, 0
        for index, length in enumerate(lengths):
            grown, highest = total + length, max(longest, length)
            cost = highest * (index + 1 - start) if self.layout == "padded" else grown
            if index > start and (index - start >= self.pairs or cost > self.tokens):
                runs.append(range(start, index))
                start, grown, highest = index, length, length
            total, longest = grown, highest
        if lengths:
            runs.append(range(start, len(lengths)))
        return runs

    def pair_work(self, tokens: int) -> Work:
        """Return the work that one pair of so many tokens adds when runs are as full as they may be."""
        if self.layout == "unpadded":
            return Work.pair(tokens)
        together = max(1, min(self.pairs, self.tokens // tokens))
        return Work(1.0 / together, tokens, tokens * tokens)

    def run_work(self, lengths: Sequence[int]) -> Work:
        """Return the work of one run of pairs of these lengths."""
        if self.layout == "unpadded":
            return Work.of(lengths)
        if self.layout == "padded":
            return Work.padded(len(lengths), max(lengths))
        return Work(1.0, sum(lengths), sum(length * length for length in lengths))

    def padding(self, lengths: Sequence[int]) -> int:
        """Return the tokens of padding in one run of pairs of these lengths."""
        return max(lengths) * len(lengths) - sum(lengths) if self.layout == "padded" else 0
