"""The order of measurements: all points once a round, in another order each time, so that noise hits them alike.

Points that can't win are dropped, so the time goes to those that may. A layout's next larger size is not even tried
once the layout has become twice as slow, which also keeps the memory of packed runs within bounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from statistics import median

from rerank_ops.tune.grid import Cell, Grid, tokens_of

#: Times as slow as its layout's best size at which larger ones are not tried, and as the curve's best to be dropped.
_GIVE_UP_AT, _DROP_AT = 2.0, 1.25
_MOST_ROUNDS = 60
_SEED = 11


@dataclass(slots=True)
class Series:
    """The times of one point, one a round from the first on; `tokens` and `pairs` are the work of each."""

    cell: Cell
    tokens: int
    pairs: int
    seconds: list[float] = field(default_factory=list)

    @property
    def per_token(self) -> list[float]:
        """Time of a token in each round: points differ in how much text they run."""
        return [seconds / self.tokens for seconds in self.seconds]

    @property
    def seconds_per_token(self) -> float:
        """Median time of a token."""
        return median(self.per_token)


@dataclass(frozen=True, slots=True)
class Timing:
    """How times are taken: the seconds of a point's work, and when to end. `on_cell` is called after each point."""

    time_cell: Callable[[Cell], float]
    clock: Callable[[], float]
    end: float
    on_cell: Callable[[], None] = lambda: None

    def over(self) -> bool:
        """Whether time is up."""
        return self.clock() >= self.end

    def add(self, series: Series) -> None:
        """Measure a point once more."""
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
    """Go round the layouts, each one's sizes ascending; return the points that were measured."""
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
    """Return the smallest size of each layout first, then the next: each has a point before time can run out."""
    place: dict[tuple[str, str], int] = {}
    ranked = []
    for cell in cells:
        layout = (cell.curve, cell.layout)
        place[layout] = place.get(layout, -1) + 1
        ranked.append((place[layout], cell))
    return [cell for _, cell in sorted(ranked, key=lambda found: found[0])]


def _may_win(live: Sequence[Series], keep: Collection[Cell]) -> list[Series]:
    """Judge by the best round of each point, since after two rounds a median still holds much of the host's noise."""
    pace = {one.cell: min(one.seconds) / one.tokens for one in live}
    best = {curve: min(pace[cell] for cell in pace if cell.curve == curve) for curve in {cell.curve for cell in pace}}
    return [one for one in live if one.cell in keep or pace[one.cell] <= _DROP_AT * best[one.cell.curve]]
