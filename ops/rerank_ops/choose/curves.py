"""Curves of quality by k or length, with the point past which nothing is gained; front of quality and time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_ops.judging.bootstrap import Interval, Values, mean_intervals


@dataclass(frozen=True, slots=True)
class Point:
    """Quality at one k or length, and its difference to the largest. By k, `recall` is the first stage's."""

    at: int
    mean: float
    gain: Interval
    recall: float | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Points, ascending. `enough` is the smallest from which on every point is shown to lose less than the margin.

    Shown is what the 95 % interval of the difference to the largest point says: it lies above minus the margin.
    """

    points: tuple[Point, ...]
    enough: int


def curve_of(
    at: Sequence[int], rows: Values, margin: float, seed: int, recalls: Sequence[float] | None = None
) -> Curve:
    """Return the curve of rows of values, one value a query, at ascending k or lengths."""
    gains = mean_intervals(rows - rows[-1], seed)
    points = tuple(
        Point(each, float(row.mean()), gain, None if recalls is None else recalls[place])
        for place, (each, row, gain) in enumerate(zip(at, rows, gains, strict=True))
    )
    enough = at[-1]
    for point in reversed(points):
        if point.gain.low < -margin:
            break
        enough = point.at
    return Curve(points, enough)


def on_front(times: Sequence[float], qualities: Sequence[float]) -> list[bool]:
    """Return for each point whether no other is as fast and better, or faster and as good.

    Of points that are equal in both the first is on the front.
    """
    order = sorted(range(len(times)), key=lambda place: (times[place], -qualities[place], place))
    front, best = [False] * len(times), float("-inf")
    for place in order:
        # Sums in another order differ in the last digits: those decide nothing.
        if round(qualities[place], 12) > best:
            front[place], best = True, round(qualities[place], 12)
    return front
