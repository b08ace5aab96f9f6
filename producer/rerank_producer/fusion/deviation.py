"""Mean and standard deviation of the scores of one list. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Scores beyond it, or all below its inverse, are brought to 1 at most: sums of their squares would not fit a float.
_LARGE = 1e100
#: Deviations below this part of the mean are errors of rounding: floats carry some 16 digits.
_ROUNDING = 1e-12


def in_units(values: Sequence[float]) -> tuple[Sequence[float], float]:
    """Return values of any size as values that can be squared, and the unit that they are multiples of."""
    # The length of the vector: no value is larger, and it takes a fifth of the time of looking for the largest.
    if 1 / _LARGE < math.hypot(*values) < _LARGE:
        return values, 1.0
    peak = max(max(values), -min(values)) if values else 0.0
    if not peak:
        return values, 1.0
    return [value / peak for value in values], peak


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of no value."""
    return math.fsum(values) / len(values) if values else 0.0


def deviation(values: Sequence[float], middle: float | None = None) -> float:
    """Return the population standard deviation; `middle` is the mean. It is 0 where values differ by rounding alone."""
    if len(values) < 2 or values.count(values[0]) == len(values):
        return 0.0
    around = mean(values) if middle is None else middle
    found = math.dist(values, [around] * len(values)) / math.sqrt(len(values))
    return found if found > _ROUNDING * abs(around) else 0.0
