"""Latency: what was timed of a model on a fleet, and what that says about lengths and k in between. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rerank_shared.scheduling.cost import CostParameters

#: `measured`: timed at this very length and k; `interpolated`: on the line between timed k; `planned`: computed for
#: another fleet or a load, from what was timed.
Origin = Literal["measured", "interpolated", "planned"]
#: Length in tokens, and k.
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of a request's latency, in milliseconds, and how they were found.

    `missed` is the share of requests that were refused or late, under a load.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    origin: Origin
    missed: float = 0.0

    def keeps(self, p95_ms: float, tolerated: float) -> bool:
        """Whether 95 of 100 requests are within `p95_ms`, and no more than the share `tolerated` is missed."""
        return self.p95_ms <= p95_ms and self.missed <= tolerated


@dataclass(frozen=True, slots=True)
class Times:
    """One model's times: of each cell by query, in milliseconds, as a caller saw them who asked one after the other.

    `processes` were alive, `host` is the caller's. `cost` is what one process takes, as it has learned itself. Before
    `busy` of `asked` requests, others had work in the fleet. `unequal` is the largest difference of a logit to the one
    of the same pair before.
    """

    cells: Mapping[Cell, Mapping[str, float]]
    cost: CostParameters
    processes: int
    host: str
    asked: int
    busy: int = 0
    unequal: float = 0.0

    def latency(self, max_length: int, k: int) -> Latency:
        """Return the latency of a cell, timed or between two that are; `k` is not beyond what was timed."""
        timed = sorted(each for length, each in self.cells if length == max_length)
        percentiles = np.array([self._percentiles((max_length, each)) for each in timed])
        p50, p95, p99 = (float(np.interp(k, timed, column)) for column in percentiles.T)
        return Latency(p50, p95, p99, "measured" if k in timed else "interpolated")

    def nearest(self, max_length: int, k: int) -> Cell:
        """Return the timed cell of that length whose k is nearest."""
        return max_length, min((each for length, each in self.cells if length == max_length), key=lambda e: abs(e - k))

    def _percentiles(self, cell: Cell) -> Sequence[float]:
        return [float(each) for each in np.percentile(list(self.cells[cell].values()), (50, 95, 99))]
