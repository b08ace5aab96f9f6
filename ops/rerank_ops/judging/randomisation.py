"""Whether a mean difference over queries is more than chance: a paired randomisation test. Pure: equal seeds, equal p.

Under the null hypothesis either of a query's two values could be either system's, so the sign of each difference is
drawn anew many times (Smucker, Allan, Carterette, CIKM 2007).
"""

from __future__ import annotations

import numpy as np

from rerank_ops.judging.bootstrap import Values

#: Differences nearer to each other are the same: 0.4 - 0.3 and 0.3 - 0.2 are not, to the last digit.
ROUNDING = 1e-12
SAMPLES = 10_000
#: Samples drawn at once, which bounds memory.
_CHUNK = 500


def randomisation_p(differences: Values, seed: int = 0, samples: int = SAMPLES) -> float:
    """Return the two-sided p of a mean difference; 1 where no query differs."""
    if not len(differences) or not differences.any():
        return 1.0
    random, observed, as_large, drawn = np.random.default_rng(seed), abs(differences.mean()), 0, 0
    while drawn < samples:
        count = min(_CHUNK, samples - drawn)
        signs = random.integers(0, 2, size=(count, len(differences))) * 2 - 1
        means = np.abs((signs * differences).mean(axis=1))
        as_large += int((means >= observed - ROUNDING).sum())
        drawn += count
    # The observed signs are one of the draws, so that p is never 0.
    return (as_large + 1) / (samples + 1)
