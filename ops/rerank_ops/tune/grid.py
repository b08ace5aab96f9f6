"""Grid of a tuning: chooses the points of the two curves and the work of each, so that a first round fits the time.

pairs    latency of one request, by pairs a run
tokens   throughput of a batch, by tokens a run
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rerank_ops.tune.sample import Sample
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.tokenizing import EncodedPair

Curve = Literal["pairs", "tokens"]
CURVES: tuple[Curve, ...] = ("pairs", "tokens")
SIZES: dict[Curve, tuple[int, ...]] = {
    "pairs": (1, 2, 4, 8, 16, 32),
    "tokens": (128, 256, 512, 1_024, 2_048, 4_096, 8_192),
}
#: The setting that a curve decides.
SETTING: dict[Curve, str] = {"pairs": "run_pairs", "tokens": "run_tokens"}
#: Largest pairs and tokens a run, tried in this order until a round is short enough.
_EXTENTS = ((32, 8_192), (16, 4_096), (8, 2_048), (4, 1_024))
#: Least work of a point: with a single small run the clock and one pair's length would decide.
_LEAST_TOKENS = 1_024
_NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Cell:
    """One point: a layout at one size of a run."""

    curve: Curve
    layout: LayoutName
    size: int

    def shape(self) -> RunShape:
        """Return the shape of its runs, limited by its own size alone."""
        if self.curve == "pairs":
            return RunShape(self.layout, self.size, _NO_LIMIT)
        return RunShape(self.layout, _NO_LIMIT, self.size)


@dataclass(frozen=True, slots=True)
class Layouts:
    """The layouts of a model. A run of a `fixed` one is always one pair, so it has one point a curve."""

    names: tuple[LayoutName, ...]
    fixed: frozenset[LayoutName] = frozenset()


@dataclass(frozen=True, slots=True)
class Grid:
    """The points and their work; sizes ascend within a layout, and layouts follow each other."""

    cells: tuple[Cell, ...]
    work: dict[Cell, tuple[EncodedPair, ...]]
    request_pairs: int

    @property
    def tokens(self) -> int:
        """Tokens of one whole round."""
        return sum(tokens_of(pairs) for pairs in self.work.values())


def lay_out(layouts: Layouts, sample: Sample, tokens_per_s: float, round_s: float) -> Grid:
    """Return the widest grid whose round takes at most `round_s` at the rate `tokens_per_s`, else the narrowest."""
    for extent in _EXTENTS:
        grid = _grid(layouts, sample, dict(zip(CURVES, extent, strict=True)))
        if grid.tokens <= tokens_per_s * round_s:
            break
    return grid


def tokens_of(pairs: Sequence[EncodedPair]) -> int:
    """Return the number of tokens of pairs, without padding."""
    return sum(pair.tokens for pair in pairs)


def _grid(layouts: Layouts, sample: Sample, most: dict[Curve, int]) -> Grid:
    cells = []
    for curve in CURVES:
        sizes = [size for size in SIZES[curve] if size <= most[curve]]
        for layout in layouts.names:
            cells += [Cell(curve, layout, size) for size in (sizes[:1] if layout in layouts.fixed else sizes)]
    request = tuple(sample.take(most["pairs"]))
    work = {
        cell: request if cell.curve == "pairs" else tuple(sample.take_tokens(max(cell.size, _LEAST_TOKENS)))
        for cell in cells
    }
    return Grid(tuple(cells), work, len(request))
