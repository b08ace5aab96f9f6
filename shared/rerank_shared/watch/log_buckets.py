"""Buckets that grow by a factor: counts by bucket give any quantile within half that factor, and add up. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogBuckets:
    """Buckets 0 to `last`; bucket n ends at `lowest` times `growth` to the power n. The last one has no end."""

    lowest: float
    growth: float
    last: int

    def of(self, value: float) -> int:
        """Return the bucket that a value is counted in."""
        if not value > self.lowest:
            return 0
        if value >= self.lowest * self.growth**self.last:
            return self.last
        return math.ceil(math.log(value / self.lowest) / math.log(self.growth))

    def middle(self, bucket: int) -> float:
        """Return the value that stands for a bucket: its geometric middle."""
        return self.lowest * self.growth ** (max(0, bucket) - 0.5) if bucket else self.lowest

    def quantile(self, counts: Mapping[int, int], percent: int) -> float:
        """Return the value that `percent` of the counted ones did not exceed; there is one at least."""
        rank = max(1, -(-percent * sum(counts.values()) // 100))
        for bucket in sorted(counts):
            rank -= counts[bucket]
            if rank <= 0:
                break
        return self.middle(bucket)


#: Of durations in seconds, wherever they are counted in Redis.
DURATIONS = LogBuckets(lowest=1e-4, growth=1.1, last=240)
