"""How well one model follows another in the order of lists: figures of scores alone, without judgements. Pure.

Correlation is that within lists, so that easy queries beside hard ones count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerank_shared.models.manifest import Following

Floats = npt.NDArray[np.float32]
#: Ranks that are compared.
TOP = 10


def following(scores: Sequence[Floats], reference: Sequence[Floats]) -> Following:
    """Return how well `scores` follow `reference`: in both the scores of each list, [documents].

    A list with a score that is not finite counts as overlap 0, and makes the correlation 0.
    """
    shares = [overlap(one, other) for one, other in zip(scores, reference, strict=True)]
    return Following(
        correlation=correlation(scores, reference), overlap_at_10=float(np.mean(shares)) if shares else 0.0
    )


def correlation(scores: Sequence[Floats], reference: Sequence[Floats]) -> float:
    """Return Pearson's correlation of all pairs, less each list's mean; 0 where a side is constant or not finite."""
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
