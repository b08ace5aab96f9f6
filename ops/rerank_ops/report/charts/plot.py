"""Charts: points with labels over a front that joins the best of them, and lines over an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rerank_ops.report.charts.labels import Box, Placed, placed
from rerank_ops.report.charts.scales import Scale, linear, logarithmic, tick_text

WIDTH, HEIGHT = 560.0, 340.0
#: Where axes are drawn; what lies left of and below them is for their ticks.
AREA = Box(52.0, 30.0, 546.0, 296.0)
#: Longest label of a point, in characters.
MOST_CHARACTERS = 34
#: Points whose names stand beside them; more have numbers alone.
MOST_NAMES = 6


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick: its place on its axis, and what is written there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line as a path of SVG; an empty `name` stands in no key."""

    path: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A level line over the whole width, for what has no place on the other axis."""

    y: float
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its number, its name, and its figures for the key; `best`: on the front."""

    x: float
    y: float
    number: str
    name: str
    short: str
    detail: str
    best: bool
    label: Placed


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart of `WIDTH` by `HEIGHT`. `others` are places of points that have no label."""

    x_name: str
    y_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    rules: tuple[Rule, ...] = ()
    others: tuple[tuple[float, float], ...] = ()
    width: float = WIDTH
    height: float = HEIGHT
    area: Box = AREA


@dataclass(frozen=True, slots=True)
class Point:
    """A system in a trade-off: what it costs (lower is better), and its value (higher is better)."""

    number: str
    name: str
    cost: float
    value: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """A value of something that costs nothing on the axis."""

    name: str
    value: float


def front_of(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in cost without being worse, or in value without costing more."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost, -each.value)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best


def trade_off(
    points: Sequence[Point], levels: Sequence[Level], *, cost: str, value: str, others: Sequence[Point] = ()
) -> Plot:
    """Return a chart of points, at least one, whose costs are above 0; `cost` and `value` name the axes.

    `others` are drawn without labels, and are not on the front.
    """
    x = logarithmic([point.cost for point in (*points, *others)], AREA.left, AREA.right)
    y = linear(
        [*(point.value for point in (*points, *others)), *(level.value for level in levels)], AREA.bottom, AREA.top
    )
    front = front_of(points)
    places = [(x.place(point.cost), y.place(point.value)) for point in points]
    # Many names would hide the points; the key has them.
    shorts = [_short(point.name) if len(points) <= MOST_NAMES else "" for point in points]
    labels = placed(places, [len(point.number) + 1 + len(s) for point, s in zip(points, shorts, strict=True)], AREA)
    dots = [
        Dot(*place, point.number, point.name, short, point.detail, point in front, label)
        for place, point, short, label in zip(places, points, shorts, labels, strict=True)
    ]
    steps = [(x.place(point.cost), y.place(point.value)) for point in front]
    # A front is a stair: until the next point, none is better than the one before it.
    corners = [corner for (_, above), (right, at) in pairwise(steps) for corner in ((right, above), (right, at))]
    path = _path([*steps[:1], *corners, (AREA.right, steps[-1][1])])
    faint = tuple((x.place(point.cost), y.place(point.value)) for point in others)
    rules = [Rule(y.place(level.value), level.name, f"{level.value:.4f}") for level in levels]
    return Plot(cost, value, _ticks(x), _ticks(y), (Line(path),), tuple(dots), tuple(rules), faint)


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], *, x_name: str, y_name: str) -> Plot:
    """Return a chart of lines by name, each with points of the same rising x. There are at least two such points."""
    every = [point for line in lines.values() for point in line]
    x = linear([0.0, *(at for at, _ in every)], AREA.left, AREA.right)
    y = linear([0.0, *(value for _, value in every)], AREA.bottom, AREA.top)
    drawn = [Line(_path([(x.place(at), y.place(value)) for at, value in line]), name) for name, line in lines.items()]
    return Plot(x_name, y_name, _ticks(x), _ticks(y), tuple(drawn))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _ticks(scale: Scale) -> tuple[Tick, ...]:
    return tuple(Tick(scale.place(tick), tick_text(tick, scale.ticks)) for tick in scale.ticks)


def _short(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 1]}…"
