"""Rounds of measurement: each point once a round, in a new random order, so that noise hits all points alike.

Points that can't win are dropped, so that the time goes to the others. Once a layout is twice as slow as at its best
size, larger sizes are not tried; this also bounds the memory of packed runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from statistics import median

from rerank_ops.tune.grid import Cell, Grid, tokens_of

#: Slowness against the layout's best size beyond which larger sizes are skipped; against the curve's best, to drop.
_GIVE_UP_AT, _DROP_AT = 2.0, 1.25
_MOST_ROUNDS = 60
_SEED = 11


@dataclass(slots=True)
class Series:
    """The seconds of one point, one value a round from the first on; `tokens` and `pairs` are the work of a round."""

    cell: Cell
    tokens: int
    pairs: int
    seconds: list[float] = field(default_factory=list)

    @property
    def per_token(self) -> list[float]:
        """Seconds a token in each round, because points differ in their amount of text."""
        return [seconds / self.tokens for seconds in self.seconds]

    @property
    def seconds_per_token(self) -> float:
        """Median of the seconds a token."""
        return median(self.per_token)


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing: measures the seconds of a point's work, until `end` on `clock`. `on_cell` is called after each point."""

    time_cell: Callable[[Cell], float]
    clock: Callable[[], float]
    end: float
    on_cell: Callable[[], None] = lambda: None

    def over(self) -> bool:
        """Whether time is up."""
        return self.clock() >= self.end

    def add(self, series: Series) -> None:
        """Measure a point once and append its seconds."""
        series.seconds.append(self.time_cell(series.cell))
        self.on_cell()


def measure(grid: Grid, timing: Timing, usual: Collection[Cell] = (), keep: Collection[Cell] = ()) -> list[Series]:
    """Measure until time is up; points of `keep` are never dropped. Every point returned has a time.

    The points of `usual` and the smallest of each layout on each curve are measured once, even if time is up.
    """
    live = series = _first_round(grid, timing, usual)
    chance = random.Random(_SEED)
    for number in range(1, _MOST_ROUNDS):
        if number > 1:
            live = _may_win(live, keep)
        for one in chance.sample(live, len(live)):
            if timing.over():
                return series
            timing.add(one)
    return series


def _first_round(grid: Grid, timing: Timing, usual: Collection[Cell]) -> list[Series]:
    """Measure each layout's sizes in ascending order, the layouts in turns; return the points that were measured."""
    series = [Series(cell, tokens_of(grid.work[cell]), len(grid.work[cell])) for cell in _layout_by_layout(grid.cells)]
    best: dict[tuple[str, str], float] = {}
    ended: set[tuple[str, str]] = set()
    for one in series:
        layout = (one.cell.curve, one.cell.layout)
        if one.cell not in usual and (layout in ended or (layout in best and timing.over())):
            continue
        timing.add(one)
        best[layout] = min(best.get(layout, one.seconds_per_token), one.seconds_per_token)
        if one.seconds_per_token > _GIVE_UP_AT * best[layout]:
            ended.add(layout)
    return [one for one in series if one.seconds]


def _layout_by_layout(cells: Sequence[Cell]) -> list[Cell]:
    """Return the smallest size of each layout, then the next sizes, so that each has a point before time runs out."""
    place: dict[tuple[str, str], int] = {}
    ranked = []
    for cell in cells:
        layout = (cell.curve, cell.layout)
        place[layout] = place.get(layout, -1) + 1
        ranked.append((place[layout], cell))
    return [cell for _, cell in sorted(ranked, key=lambda found: found[0])]


def _may_win(live: Sequence[Series], keep: Collection[Cell]) -> list[Series]:
    """Return the points that may win, by the best round of each: a median of two rounds holds too much noise."""
    pace = {one.cell: min(one.seconds) / one.tokens for one in live}
    best = {curve: min(pace[cell] for cell in pace if cell.curve == curve) for curve in {cell.curve for cell in pace}}
    return [one for one in live if one.cell in keep or pace[one.cell] <= _DROP_AT * best[one.cell.curve]]
