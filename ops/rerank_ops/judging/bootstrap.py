"""How sure a difference of means is: its interval by the bootstrap over queries. Pure: equal seeds, equal intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: One value a query.
Values = NDArray[np.float64]
SAMPLES = 10_000
_CONFIDENCE = 0.95
#: Samples drawn at once, which bounds memory.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def spans_zero(self) -> bool:
        """Whether the difference may have either sign, or be none."""
        return self.low <= 0 <= self.high


def paired_difference(one: Values, other: Values, seed: int, samples: int = SAMPLES) -> Interval:
    """Return the mean of `one` - `other`, which have one value a query, with its interval."""
    return mean_intervals((one - other)[np.newaxis], seed, samples)[0]


def mean_intervals(rows: Values, seed: int, samples: int = SAMPLES) -> list[Interval]:
    """Return the mean of each row, a value a query, with its interval; all rows are drawn at the same queries."""
    random, count = np.random.default_rng(seed), rows.shape[1]
    means: list[Values] = []
    for begin in range(0, samples, _CHUNK):
        drawn = random.integers(count, size=(min(_CHUNK, samples - begin), count))
        # How often each sample has each query: one product then gives the means of all rows.
        places = drawn + np.arange(len(drawn))[:, np.newaxis] * count
        times = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)
        means.append(rows @ times.T / count)
    low, high = np.quantile(np.hstack(means), [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2], axis=1)
    return [
        Interval(float(row.mean()), float(least), float(most)) for row, least, most in zip(rows, low, high, strict=True)
    ]
