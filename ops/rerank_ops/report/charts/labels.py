"""Places of labels beside points, so that no label lies on another one or on a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal["start", "end"]
#: Height of a line, width of a character, and room between a point and its label, in the units of the chart.
LINE = 15.0
CHARACTER = 6.3
GAP = 9.0
_RADIUS = 5.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether both have a point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a label begins or, anchored at its end, ends; `y` is the middle of its line. `far`: away from its point."""

    x: float
    y: float
    anchor: Side
    box: Box
    far: bool


def placed(points: Sequence[tuple[float, float]], widths: Sequence[int], bounds: Box) -> list[Placed]:
    """Return a place for the label of each point, `widths` being their lengths in characters.

    Labels stand beside their points, else nearby, above or below. They keep within `bounds` where that is possible.
    """
    taken = [Box(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in points]
    found: dict[int, Placed] = {}
    for place in sorted(range(len(points)), key=lambda place: (points[place][1], points[place][0])):
        found[place] = _free(*points[place], widths[place] * CHARACTER, taken, bounds)
        taken.append(found[place].box)
    return [found[place] for place in range(len(points))]


def _free(x: float, y: float, width: float, taken: Sequence[Box], bounds: Box) -> Placed:
    beside: tuple[Side, ...] = ("start", "end") if x - bounds.left < bounds.right - x else ("end", "start")
    steps = max(2, int((bounds.bottom - bounds.top) / LINE))
    offsets = [0.0, *(sign * step * LINE for step in range(1, steps + 1) for sign in (1, -1))]
    tries = [_at(x, y + offset, side, width, far=offset != 0) for offset in offsets for side in beside]
    free = [each for each in tries if not any(each.box.meets(box) for box in taken)]
    inside = [each for each in free if _within(each.box, bounds)]
    return next(iter([*inside, *free, *tries]))


def _at(x: float, y: float, side: Side, width: float, *, far: bool) -> Placed:
    start = x + GAP if side == "start" else x - GAP
    left, right = (start, start + width) if side == "start" else (start - width, start)
    return Placed(start, y, side, Box(left, y - LINE / 2, right, y + LINE / 2), far)


def _within(box: Box, bounds: Box) -> bool:
    return (
        bounds.left <= box.left
        and box.right <= bounds.right
        and bounds.top <= box.top
        and box.bottom <= bounds.bottom
    )  # fmt: skip
