"""Choice of a variant by cross-validation: what is reported of a query was chosen on other queries. Pure.

The mean over the queries on which a variant was chosen flatters it; the held-out mean does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_ops.fusion.sweep import Sweep, Variant
from rerank_ops.judging.bootstrap import Values
from rerank_ops.judging.measures import Quality
from rerank_shared.errors import ConfigurationError

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Values of each query under the variant that the other folds chose, and that variant, one a fold."""

    ndcg: Values
    rr: Values
    chosen: tuple[Variant, ...]

    @property
    def quality(self) -> Quality:
        """Means over all queries."""
        return Quality(float(self.ndcg.mean()), float(self.rr.mean()))


def folds_of(count: int, folds: int, seed: int) -> list[Rows]:
    """Return the rows 0 to `count` - 1 in `folds` parts of about one size, shuffled. Raises ConfigurationError."""
    if not 2 <= folds <= count:
        raise ConfigurationError(
            f"folds: {folds} for {count} judged queries, but at least 2 expected, and a query for each"
        )
    return [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(count), folds)]


def best(sweep: Sweep, variants: Sequence[Variant], rows: Rows | slice = slice(None)) -> Variant:
    """Return the variant with the highest mean nDCG@10 over some rows.

    Of equal ones a stage alone is chosen, the model first; then the smallest weight; then the earliest.
    """
    return max(variants, key=lambda each: (float(sweep.ndcg[each][rows].mean()), each.alone, -each.weight))


def cross_validated(sweep: Sweep, variants: Sequence[Variant], folds: Sequence[Rows]) -> HeldOut:
    """Return the held-out values of a choice among `variants`."""
    ndcg, rr = np.empty(len(sweep.queries)), np.empty(len(sweep.queries))
    chosen = []
    for number, held_out in enumerate(folds):
        others = np.concatenate([rows for place, rows in enumerate(folds) if place != number])
        variant = best(sweep, variants, others)
        ndcg[held_out], rr[held_out] = sweep.ndcg[variant][held_out], sweep.rr[variant][held_out]
        chosen.append(variant)
    return HeldOut(ndcg, rr, tuple(chosen))
