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
    differences = one - other
    random = np.random.default_rng(seed)
    means: list[float] = []
    while len(means) < samples:
        drawn = random.integers(len(differences), size=(min(_CHUNK, samples - len(means)), len(differences)))
        means += differences[drawn].mean(axis=1).tolist()
    low, high = np.quantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Interval(float(differences.mean()), float(low), float(high))
