"""Propensities: how much a rank is looked at, against the first, estimated from swaps of neighbours. Pure.

The model is position-based (Craswell et al., WSDM 2008): a document is clicked if its rank is looked at and it attracts
the searcher. Where two neighbours change places by chance, the same documents stand at both ranks, so the ratio of the
clicks is that of the ranks (Joachims, Swaminathan, Schnabel, WSDM 2017). Rates of swapped and of other answers count
alike, however few are swapped. Ratios are multiplied along the ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_ops.feedback.answers import Answer
from rerank_shared.contract.swaps import DEPTH

#: Clicks in swapped answers below which a ratio is noise.
MIN_CLICKS = 10
#: Quantile of the normal distribution for an interval of 95 %.
_Z = 1.959964


@dataclass(slots=True)
class Rates:
    """Answers, and their clicks at a rank and the next."""

    answers: int = 0
    here: int = 0
    below: int = 0

    def add(self, answer: Answer, rank: int) -> None:
        """Count an answer."""
        self.answers += 1
        self.here += rank in answer.clicked
        self.below += rank + 1 in answer.clicked


@dataclass(frozen=True, slots=True)
class Step:
    """From a rank to the next: by how much less that one is looked at, with its 95 % interval; None: not known."""

    rank: int
    swapped: int
    ratio: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Propensities:
    """The propensity of each rank from 1, that of the first being 1, as far as it is known; and how it was found."""

    values: tuple[float, ...] = (1.0,)
    steps: tuple[Step, ...] = ()

    @property
    def known(self) -> int:
        """The ranks whose propensity is known. 1: nothing was learned from swaps."""
        return len(self.values)

    def weight(self, rank: int, clip: float) -> float:
        """Return what a click at a rank counts: one over its propensity, which is `clip` at least.

        A rank below those that are known counts as the last of them: too little, never too much.
        """
        return 1 / max(clip, self.values[min(rank, self.known) - 1])


def propensities(answers: Iterable[Answer]) -> Propensities:
    """Return what the swaps in answers tell of ranks."""
    plain = [Rates() for _ in range(DEPTH)]
    swapped = [Rates() for _ in range(DEPTH)]
    for answer in answers:
        for rank in range(1, min(DEPTH, len(answer.shown))):
            # The rank of a swap is drawn before the length is known; an answer with a swap beside this pair shows
            # another document than the ranking's at one of the two.
            if answer.swapped_rank == rank:
                swapped[rank].add(answer, rank)
            elif abs(answer.swapped_rank - rank) > 1 or not answer.swapped_rank:
                plain[rank].add(answer, rank)
    steps = tuple(_step(rank, plain[rank], swapped[rank]) for rank in range(1, DEPTH))
    return Propensities(_chained(steps), steps)


def _chained(steps: Sequence[Step]) -> tuple[float, ...]:
    values = [1.0]
    for step in steps:
        if step.ratio is None:
            break
        values.append(values[-1] * step.ratio)
    return tuple(values)


def _step(rank: int, plain: Rates, swapped: Rates) -> Step:
    if not plain.answers or min(swapped.here + swapped.below, plain.here + plain.below) < MIN_CLICKS:
        return Step(rank, swapped.answers, None)
    here, here_spread = _sum_of_rates([(plain.here, plain.answers), (swapped.here, swapped.answers)])
    below, below_spread = _sum_of_rates([(plain.below, plain.answers), (swapped.below, swapped.answers)])
    if not here or not below:
        return Step(rank, swapped.answers, None)
    ratio, spread = below / here, _Z * math.hypot(here_spread / here, below_spread / below)
    return Step(rank, swapped.answers, ratio, ratio * math.exp(-spread), ratio * math.exp(spread))


def _sum_of_rates(counts: Iterable[tuple[int, int]]) -> tuple[float, float]:
    """Return the sum of rates, of (clicks, answers), and its standard error."""
    total, variance = 0.0, 0.0
    for clicks, answers in counts:
        rate = clicks / answers
        total, variance = total + rate, variance + rate * (1 - rate) / answers
    return total, math.sqrt(variance)
