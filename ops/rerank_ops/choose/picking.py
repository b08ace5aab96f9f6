"""Picking: which configuration is taken, on one half of the queries, and what it is worth on the other. Pure.

Taken is the cheapest that is shown to lose less than a margin to the best: the lower bound of its 95 % interval, over
paired bootstrap samples of the queries, is above minus the margin. Equal ones lose nothing, so that a tie goes to the
cheaper one. The figure of the half that picked flatters, since the best of many is partly lucky; the other half was
not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_ops.judging.bootstrap import SAMPLES, Interval, Values, mean_intervals, paired_difference
from rerank_ops.judging.significance import TESTS
from rerank_shared.errors import InputRefused

#: With fewer queries than this no half tells anything; below the second number what it tells is told with a warning.
FEWEST, FEW = 20, 40
#: Halvings by which the bias of picking is measured, and bootstrap samples of each.
HALVINGS, _SAMPLES = 100, 1_000
#: The test of differences on the half that confirms.
_TEST = "randomisation"
#: Places of queries.
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Halves:
    """Places of the queries that pick, and of those that confirm."""

    picking: Places
    confirming: Places


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference to another system on the confirming half, its two-sided p, and queries better, same, worse."""

    against: str
    gain: Interval
    p: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class Bias:
    """What picking adds by chance: means of `halvings` random halvings, on the half that picked and on the other."""

    halvings: int
    picking: float
    confirming: float

    @property
    def mean(self) -> float:
        """How much better the picked configuration looks on the half that picked it."""
        return self.picking - self.confirming


def halves_of(count: int, seed: int) -> Halves:
    """Return two halves of so many queries, drawn by a seed; the one that picks is the larger one.

    Raises InputRefused for too few of them.
    """
    if count < FEWEST:
        raise InputRefused(
            f"{count} judged queries are too few to pick on one half and confirm on the other: at least {FEWEST}, and "
            "better 100"
        )
    return _halves(count, np.random.default_rng(seed))


def picked(
    values: Values, costs: Sequence[float], allowed: Sequence[int], margin: float, seed: int, samples: int = SAMPLES
) -> int:
    """Return the row that is taken of the `allowed` rows of `values`, which have one value a query.

    Of rows of equal cost it is the one of the highest mean.
    """
    top = best(values, costs, allowed)
    losses = mean_intervals(values[list(allowed)] - values[top], seed, samples)
    as_good = [row for row, loss in zip(allowed, losses, strict=True) if loss.low >= -margin or row == top]
    return min(as_good, key=lambda row: (costs[row], -round(float(values[row].mean()), 12)))


def best(values: Values, costs: Sequence[float], allowed: Sequence[int]) -> int:
    """Return the row of the highest mean; of equal ones the cheapest."""
    # Sums in another order differ in the last digits: those decide nothing.
    return min(allowed, key=lambda row: (-round(float(values[row].mean()), 12), costs[row]))


def bias_of(values: Values, costs: Sequence[float], allowed: Sequence[int], margin: float, seed: int) -> Bias:
    """Return what picking adds by chance, by the same rule on random halvings of the same queries."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(HALVINGS):
        halves = _halves(values.shape[1], random)
        row = picked(values[:, halves.picking], costs, allowed, margin, number, _SAMPLES)
        found.append((values[row, halves.picking].mean(), values[row, halves.confirming].mean()))
    picking, confirming = np.mean(found, axis=0)
    return Bias(HALVINGS, float(picking), float(confirming))


def difference(one: Values, other: Values, against: str, seed: int) -> Difference:
    """Return `one` less `other`, which have one value a query of the confirming half."""
    return Difference(
        against=against,
        gain=paired_difference(one, other, seed),
        p=TESTS[_TEST](one, other, seed),
        wins=int((one > other).sum()),
        ties=int((one == other).sum()),
        losses=int((one < other).sum()),
    )


def _halves(count: int, random: np.random.Generator) -> Halves:
    order = random.permutation(count)
    middle = (count + 1) // 2
    return Halves(np.sort(order[:middle]), np.sort(order[middle:]))
