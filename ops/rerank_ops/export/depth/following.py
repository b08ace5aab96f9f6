"""How well one model follows another in the order of lists: figures of scores alone, without judgements. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
#: Ranks that are compared.
TOP = 10


@dataclass(frozen=True, slots=True)
class Following:
    """Agreement with a model in lists of candidates.

    `correlation`: Pearson's, over all pairs, with each list's mean taken off both, so that easy queries beside hard
    ones count for nothing. `overlap_at_10`: share of the model's best ten of a list that are among the other's, mean of the
    lists; 1 for lists of ten or fewer.
    """

    correlation: float
    overlap_at_10: float
    lists: int
    pairs: int


def following(scores: Sequence[Floats], reference: Sequence[Floats]) -> Following:
    """Return how well `scores` follow `reference`: in both the scores of each list, [documents].

    A list with a score that is not finite counts as overlap 0, and makes the correlation 0.
    """
    return Following(
        correlation=correlation(scores, reference),
        overlap_at_10=float(np.mean([overlap(one, other) for one, other in zip(scores, reference, strict=True)]))
        if scores
        else 0.0,
        lists=len(scores),
        pairs=sum(len(each) for each in scores),
    )


def correlation(scores: Sequence[Floats], reference: Sequence[Floats]) -> float:
    """Return Pearson's correlation within lists; 0 where a side does not vary, or holds what is not finite."""
    if not all(np.isfinite(each).all() for each in (*scores, *reference)):
        return 0.0
    one, other = _centred(scores), _centred(reference)
    spread = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(one @ other) / spread if spread else 0.0


def overlap(scores: Floats, reference: Floats, top: int = TOP) -> float:
    """Return the share of the reference's best `top` documents of one list that are among the best by `scores`.

    Equal scores keep the list's order, as in a response.
    """
    if not (np.isfinite(scores).all() and np.isfinite(reference).all()) or not scores.size:
        return 0.0
    best = [set(np.argsort(-each, kind="stable")[:top].tolist()) for each in (scores, reference)]
    return len(best[0] & best[1]) / min(top, scores.size)


def _centred(lists: Sequence[Floats]) -> npt.NDArray[np.float64]:
    """Return the scores of all lists end to end, less each list's mean, [pairs]."""
    doubles = [each.astype(np.float64) for each in lists if each.size]
    return np.concatenate([each - each.mean() for each in doubles]) if doubles else np.zeros(0)
