"""How far apart two contenders are: in time by paired ratios, in scores by largest difference and rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank_shared.drift.correlation import spearman

Values = Sequence[float]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Scores held against others of the same pairs. `spearman` is the mean over requests: within one, order counts."""

    max_difference: float
    spearman: float


def paired_ratios(slower: Values, faster: Values) -> list[float]:
    """Return by how much `faster` was ahead in each round. Both must have run the same rounds."""
    return [long / short for long, short in zip(slower, faster, strict=True)]


def agreement(scores: Sequence[Values], reference: Sequence[Values]) -> Agreement:
    """Compare the scores of some requests with the reference's for the same ones."""
    pairs = [(np.array(ours), np.array(theirs)) for ours, theirs in zip(scores, reference, strict=True)]
    difference = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    spearmans = [spearman(ours, theirs) for ours, theirs in zip(scores, reference, strict=True)]
    return Agreement(difference, float(np.mean(spearmans)))
