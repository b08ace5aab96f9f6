"""Speed: the times of queries that were asked one after the other, or what they would be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds of each query, and the candidates that all of them have together.

    `computed`: nobody asked a query so; each time comes from those of several models that were timed alone.
    """

    latencies_ms: Sequence[float]
    pairs: int
    computed: bool = False

    @property
    def pairs_per_s(self) -> float:
        """Candidates ordered a second."""
        seconds = sum(self.latencies_ms) / 1000
        return self.pairs / seconds if seconds else 0.0

    def latency_ms(self, percent: float) -> float:
        """Return a percentile (0 to 100) of the queries' latency, in milliseconds."""
        return float(np.percentile(self.latencies_ms, percent))

    def as_plain(self) -> dict[str, float | bool]:
        """Return it ready for JSON."""
        percentiles = {f"p{percent}_ms": self.latency_ms(percent) for percent in (50, 95, 99)}
        return {**percentiles, "pairs_per_s": self.pairs_per_s, "computed": self.computed}
