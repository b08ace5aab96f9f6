"""Significance: paired t-tests over queries, corrected for the number of comparisons by Holm's method. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_rel

from rerank_ops.fusion.sweep import Values


def p_value(one: Values, other: Values) -> float:
    """Return the two-sided p of a paired t-test; 1 where all differences are the same, for which there is no test."""
    if len(one) < 2 or float(np.ptp(one - other)) == 0.0:
        return 1.0
    return float(ttest_rel(one, other).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p corrected for all of them (Holm, Scandinavian Journal of Statistics 1979), in the given order."""
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected
