"""What the picture says; how it looks is for eyes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_ops.tune.chart import chart
from rerank_ops.tune.grid import CURVES, SIZES, Cell
from rerank_ops.tune.policy import choose
from rerank_ops.tune.result import Tuning
from rerank_ops.tune.rounds import Series
from rerank_shared.models.precision import LayoutName

pytest.importorskip("matplotlib")


def points(layout: LayoutName, seconds: float, *, fixed: bool) -> list[Series]:
    """Return a layout's points: one a curve where the layout runs each pair by itself, else one a size."""
    return [
        Series(Cell(curve, layout, size), 1000, 32, [seconds] * 4)
        for curve in CURVES
        for size in (SIZES[curve][:1] if fixed else SIZES[curve])
    ]


def marks(series: list[Series]) -> list[str]:
    choice = choose(series, [], precision="fp32", max_length=512, cores=1)
    made_for = {"model": "m", "precision": "fp32", "cpu": "c", "mean_tokens": 100.0}
    tuning = Tuning(series, [], choice, request_pairs=32, source="text", made_for=made_for)
    return [text.get_text() for axes in chart(tuning).axes for text in axes.texts if "chosen" in text.get_text()]


def test_a_layout_without_sizes_has_none_marked() -> None:
    flat = points("unpadded", 1.0, fixed=True) + points("padded", 1.5, fixed=False)
    assert marks(flat) == ["chosen, at any size"] * 2


def test_a_chosen_size_is_marked() -> None:
    sized = points("unpadded", 1.0, fixed=False)
    assert marks(sized) == ["chosen: 4", "chosen: 1,024"]
    faster = [replace(one, seconds=[0.5] * 4) if one.cell.size == 8 else one for one in sized]
    assert marks(faster)[0] == "chosen: 8"
