"""Agreement of two lists of scores: in order (Spearman), in value, and bit by bit. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two lists. `unusable` counts scores not finite in either list; the other figures skip them."""

    spearman: float
    rmse: float
    max_difference: float
    unusable: int


def agreement(scores: Scores, reference: Scores) -> Agreement:
    """Return the agreement of scores with a reference's for the same pairs, both [pairs]."""
    finite = np.isfinite(scores) & np.isfinite(reference)
    ours, theirs = scores[finite].astype(np.float64), reference[finite].astype(np.float64)
    difference = np.abs(ours - theirs)
    return Agreement(
        spearman=spearman(ours, theirs),
        rmse=float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0,
        max_difference=float(difference.max(initial=0.0)),
        unusable=int(finite.size - finite.sum()),
    )


def spearman(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the rank correlation; tied values share their mean rank. 0 where all values of a list are equal."""
    first, second = ranks(one), ranks(other)
    if first.size < 2:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / spread if spread else 0.0


def ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rank of each value, from 1; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    means: npt.NDArray[np.float64] = (last - (count - 1) / 2)[place]
    return means


def same_bits(one: Scores, other: Scores) -> bool:
    """Return whether two lists are the same float32 numbers, bit by bit."""
    return bool(np.array_equal(one.astype(np.float32).view(np.uint32), other.astype(np.float32).view(np.uint32)))
