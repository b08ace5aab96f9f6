"""Mean and standard deviation of the scores of one list. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Scores beyond it, or all below its inverse, are brought to 1 at most: sums of their squares would not fit a float.
_LARGE = 1e100


def in_units(values: Sequence[float]) -> tuple[Sequence[float], float]:
    """Return values of any size as values that can be squared, and the unit that they are multiples of."""
    peak = max(max(values), -min(values)) if values else 0.0
    if not peak or 1 / _LARGE < peak < _LARGE:
        return values, 1.0
    return [value / peak for value in values], peak


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of no value."""
    return math.fsum(values) / len(values) if values else 0.0


def deviation(values: Sequence[float]) -> float:
    """Return the population standard deviation; exactly 0 where all values are equal."""
    if len(values) < 2 or values.count(values[0]) == len(values):
        return 0.0
    return math.dist(values, [mean(values)] * len(values)) / math.sqrt(len(values))
