"""The order of measurements and when they end, with a clock that stands still but for the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from rerank_ops.tune.grid import CURVES, SIZES, Cell, Grid, Layouts, lay_out
from rerank_ops.tune.rounds import Series, Timing, measure
from rerank_ops.tune.sample import Sample, shipped_lengths
from rerank_worker.tokenizing import EncodedPair


def pair(tokens: int) -> EncodedPair:
    return EncodedPair(np.zeros(tokens, np.int64), np.zeros(tokens, np.int64), truncated=False)


SAMPLE = Sample("made up", tuple(pair(length) for length in shipped_lengths(512)[1]))


def grid(layouts: Layouts) -> Grid:
    return lay_out(layouts, SAMPLE, tokens_per_s=1e9, round_s=1.0)


class Bench:
    """Takes as long for a point as `pace` says a token takes, and remembers the order."""

    def __init__(self, measured: Grid, pace: Callable[[Cell], float]) -> None:
        self.now = 0.0
        self.order: list[Cell] = []
        self._grid, self._pace = measured, pace

    def time_cell(self, cell: Cell) -> float:
        seconds = self._pace(cell) * sum(pair.tokens for pair in self._grid.work[cell])
        self.now += seconds
        self.order.append(cell)
        return seconds

    def timing(self, end: float) -> Timing:
        return Timing(self.time_cell, lambda: self.now, end)


def of_plan(series: list[Series], curve: str, layout: str) -> list[int]:
    return sorted(one.cell.size for one in series if (one.cell.curve, one.cell.layout) == (curve, layout))


def test_each_round_visits_all_points_that_may_win_in_another_order() -> None:
    measured = grid(Layouts(("unpadded", "padded")))
    bench = Bench(measured, lambda cell: 1.0 if cell.size < 16 or cell.curve == "tokens" else 1.6)
    series = measure(measured, bench.timing(measured.tokens * 8))
    counts = Counter(len(one.seconds) for one in series)
    assert {one.cell for one in series if len(one.seconds) == 2} == {
        Cell("pairs", layout, size) for layout in ("unpadded", "padded") for size in (16, 32)
    }
    assert min(count for count in counts if count != 2) > 5
    live = [cell for cell in bench.order if cell.curve == "tokens" or cell.size < 16]
    width = len(set(live))
    first, second = live[width : 2 * width], live[2 * width : 3 * width]
    assert set(first) == set(second)
    assert first != second


def test_sizes_beyond_twice_the_time_are_not_tried_but_usual_ones_are() -> None:
    measured = grid(Layouts(("unpadded", "packed")))
    bench = Bench(
        measured, lambda cell: 1.0 if cell.layout == "unpadded" else (cell.size / SIZES[cell.curve][0]) ** 0.9
    )
    usual = [Cell("pairs", "packed", 8)]
    series = measure(measured, bench.timing(measured.tokens * 3.0), usual)
    # The first that is too slow is measured, for that is how it is known.
    assert of_plan(series, "pairs", "packed") == [1, 2, 4, 8]
    assert of_plan(series, "tokens", "packed") == [128, 256, 512]
    assert of_plan(series, "pairs", "unpadded") == [1, 2, 4, 8, 16, 32]


def test_kept_points_stay_however_slow() -> None:
    measured = grid(Layouts(("unpadded", "padded")))
    keep = [Cell("pairs", "unpadded", 4)]
    bench = Bench(measured, lambda cell: 1.9 if cell.layout == "unpadded" else 1.0)
    series = measure(measured, bench.timing(measured.tokens * 12), keep, keep)
    rounds = {one.cell: len(one.seconds) for one in series}
    assert rounds[keep[0]] >= rounds[Cell("pairs", "padded", 1)] - 1 > 2
    assert rounds[Cell("pairs", "unpadded", 2)] == 2


def test_without_time_every_layout_and_every_usual_size_has_a_point() -> None:
    measured = grid(Layouts(("unpadded", "varlen")))
    usual = [Cell("pairs", "varlen", 4)]
    series = measure(measured, Bench(measured, lambda _: 1.0).timing(0.0), usual)
    assert {one.cell for one in series} == {
        Cell("pairs", "unpadded", 1),
        Cell("pairs", "varlen", 1),
        Cell("pairs", "varlen", 4),
        Cell("tokens", "unpadded", 128),
        Cell("tokens", "varlen", 128),
    }
    assert all(len(one.seconds) == 1 for one in series)


def test_rounds_end_even_if_time_does_not_pass() -> None:
    measured = grid(Layouts(("unpadded",), frozenset({"unpadded"})))
    series = measure(measured, Timing(lambda _: 1e-6, lambda: 0.0, 1.0))
    assert [len(one.seconds) for one in series] == [60, 60]


@pytest.mark.parametrize(("tokens_per_s", "extent"), [(1e9, (32, 8192)), (20_000.0, (8, 2048)), (1.0, (4, 1024))])
def test_a_slow_model_gets_a_narrower_grid(tokens_per_s: float, extent: tuple[int, int]) -> None:
    found = lay_out(Layouts(("unpadded", "padded")), SAMPLE, tokens_per_s, round_s=1.0)
    assert tuple(max(cell.size for cell in found.cells if cell.curve == curve) for curve in CURVES) == extent
    assert found.request_pairs == extent[0]
    assert found.tokens <= tokens_per_s or extent == (4, 1024)


def test_work_has_the_lengths_of_the_sample() -> None:
    found = grid(Layouts(("unpadded",)))
    for cell in found.cells:
        lengths = [pair.tokens for pair in found.work[cell]]
        assert lengths == sorted(lengths)
        assert sum(lengths) / len(lengths) == pytest.approx(SAMPLE.mean_tokens, rel=0.1)
        assert cell.curve == "pairs" or sum(lengths) == pytest.approx(max(cell.size, 1024), rel=0.1)
    assert all(found.work[cell] == found.work[found.cells[0]] for cell in found.cells if cell.curve == "pairs")


def test_the_shipped_lengths_are_those_of_their_table() -> None:
    source, lengths = shipped_lengths(1001)
    assert source
    assert [lengths[int(share * 1000)] for share in (0.1, 0.5, 0.9)] == [52, 86, 151]
    assert (min(lengths), max(lengths)) == (24, 254)
    assert sum(lengths) / len(lengths) == pytest.approx(96, abs=2)
