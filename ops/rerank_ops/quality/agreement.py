"""Agreement of two lists of scores: in order (Spearman), in value, and bit by bit. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rerank_shared.drift.correlation import spearman

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
        spearman=spearman(ours.tolist(), theirs.tolist()),
        rmse=float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0,
        max_difference=float(difference.max(initial=0.0)),
        unusable=int(finite.size - finite.sum()),
    )


def same_bits(one: Scores, other: Scores) -> bool:
    """Return whether two lists are the same float32 numbers, bit by bit."""
    return bool(np.array_equal(one.astype(np.float32).view(np.uint32), other.astype(np.float32).view(np.uint32)))
