"""Intervals as they are drawn in a table: a bar for each, on one scale with a line at 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_ops.judging.bootstrap import Interval

#: Part of the scale on either side that no interval reaches.
_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class Span:
    """Places of an interval's bounds, its mean and 0 on a scale from 0 (left) to 1 (right)."""

    low: float
    mean: float
    high: float
    zero: float
    sure: bool


def spans_of(intervals: Sequence[Interval]) -> list[Span]:
    """Return intervals on the one scale that holds them all and 0."""
    if not intervals:
        return []
    low = min(0.0, *(each.low for each in intervals))
    high = max(0.0, *(each.high for each in intervals))
    if low == high:
        # Nothing differs: 0 stands in the middle.
        low, high = -1.0, 1.0

    def place(value: float) -> float:
        return _MARGIN + (1 - 2 * _MARGIN) * (value - low) / (high - low)

    return [
        Span(place(each.low), place(each.mean), place(each.high), place(0.0), sure=not each.spans_zero)
        for each in intervals
    ]
