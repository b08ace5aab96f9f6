"""Significance: paired tests over queries, and corrections for the number of comparisons. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import ttest_rel, wilcoxon

from rerank_ops.judging.bootstrap import Values
from rerank_ops.judging.randomisation import ROUNDING, randomisation_p


def t_p(one: Values, other: Values) -> float:
    """Return the two-sided p of a paired t-test; 1 where all differences are the same, for which there is no test."""
    if len(one) < 2 or float(np.ptp(one - other)) < ROUNDING:
        return 1.0
    return float(ttest_rel(one, other).pvalue)


def wilcoxon_p(one: Values, other: Values) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; equal values are left out, and 1 where no others are."""
    # Ranks of equal differences are equal only where rounding does not part them.
    differences = np.round((one - other) / ROUNDING)
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)


#: Two-sided p of values and other values of the same queries, by the test's name; the seed is for what is drawn.
TESTS: Mapping[str, Callable[[Values, Values, int], float]] = {
    "t": lambda one, other, seed: t_p(one, other),
    "randomisation": lambda one, other, seed: randomisation_p(one - other, seed),
    "wilcoxon": lambda one, other, seed: wilcoxon_p(one, other),
}


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p corrected for all of them (Holm, Scandinavian Journal of Statistics 1979), in the given order."""
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return each p corrected for the share of false discoveries (Benjamini, Hochberg, JRSS B 1995), in their order."""
    corrected, smallest = [1.0] * len(p_values), 1.0
    for rank, place in reversed(list(enumerate(sorted(range(len(p_values)), key=p_values.__getitem__), start=1))):
        smallest = min(smallest, p_values[place] * (len(p_values) / rank))
        corrected[place] = smallest
    return corrected


#: Corrections of p values, by name.
CORRECTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "bh": benjamini_hochberg,
    "none": list,
}
