"""Smoothing: reduces the largest outliers of activations before they are quantised.

In many linear layers one input channel is several times larger than all others (in ms-marco-MiniLM-L-12-v2 27, the next
one 9, the median 2). int8 has 256 steps for the whole range, so the other channels share a third of them.
Dividing it, and multiplying its row of the weights by the same factor, is exact and costs one multiplication a value.
Done only where it pays, it halves the error of int8. After SmoothQuant (Xiao et al. 2022), but for outliers alone: with
all channels smoothed, the weights' own error would grow by more than the activations' shrinks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rerank_ops.export.graph.bodies.body import Floats
from rerank_ops.export.graph.calibrate import ChannelRange

#: Channels above this quantile of all channels' magnitudes are scaled down to it.
_USUAL = 0.99
#: Least ratio of the largest magnitude to that quantile at which smoothing is worth the multiplication.
_WORTH = 2.0


def smoothing_of(ranges: Mapping[str, ChannelRange]) -> dict[str, Floats]:
    """Return the factors [in] of each layer that gains from them, by layer name; most factors are 1."""
    factors: dict[str, Floats] = {}
    for name, seen in ranges.items():
        usual = np.quantile(seen.largest, _USUAL)
        if usual > 0 and seen.largest.max() / usual >= _WORTH:
            factors[name] = np.maximum(1.0, seen.largest / usual).astype(np.float32)
    return factors


def fixed_ranges(ranges: Mapping[str, ChannelRange], smoothing: Mapping[str, Floats]) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest input value of each layer after smoothing, for int8-static."""
    fixed = {}
    for name, seen in ranges.items():
        factors = smoothing.get(name, np.ones(1, dtype=np.float32))
        fixed[name] = (float((seen.low / factors).min()), float((seen.high / factors).max()))
    return fixed
