"""Charts: scales hold all values, fronts are right, and no label lies on another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.judging.bootstrap import Interval
from rerank_ops.report.charts.labels import Box, placed
from rerank_ops.report.charts.plot import AREA, Level, Point, front_of, trade_off
from rerank_ops.report.charts.scales import linear, logarithmic, tick_text
from rerank_ops.report.charts.span import spans_of

_VALUES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=20)


@given(_VALUES)
def test_a_linear_scale_holds_every_value_and_few_ticks(values: list[float]) -> None:
    scale = linear(values, 300, 0)
    assert scale.low <= min(values) + 1e-9
    assert scale.high >= max(values) - 1e-9
    assert 2 <= len(scale.ticks) <= 9
    assert scale.place(scale.low) == 300
    assert scale.place(scale.high) == 0


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=20))
def test_a_logarithmic_scale_has_two_ticks_and_more(values: list[float]) -> None:
    scale = logarithmic(values, 0, 500)
    assert len(scale.ticks) >= 2
    assert all(0 < scale.place(value) < 500 for value in values)
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)


def test_ticks_have_the_decimals_that_they_need() -> None:
    assert [tick_text(tick, (0.42, 0.44)) for tick in (0.42, 0.44)] == ["0.42", "0.44"]
    assert tick_text(5000, (5000, 10000)) == "5,000"
    assert tick_text(0.5, (0.5, 1, 2)) == "0.5"


def test_a_front_has_what_nothing_beats() -> None:
    points = [
        Point("1", "slow and good", 100, 0.6),
        Point("2", "fast", 10, 0.4),
        Point("3", "beaten", 50, 0.3),
        Point("4", "as fast, worse", 10, 0.3),
    ]
    assert [point.number for point in front_of(points)] == ["2", "1"]
    plot = trade_off(points, [Level("bm25", 0.35)], cost="ms", value="nDCG@10")
    assert [dot.number for dot in plot.dots if dot.best] == ["1", "2"]
    assert (plot.dots[0].y, plot.rules[0].detail) == (min(dot.y for dot in plot.dots), "0.3500")


@given(
    st.lists(st.tuples(st.floats(AREA.left, AREA.right), st.floats(AREA.top, AREA.bottom)), min_size=1, max_size=12),
    st.integers(1, 30),
)
def test_no_label_lies_on_another(points: list[tuple[float, float]], width: int) -> None:
    found = placed(points, [width] * len(points), AREA)
    for place, label in enumerate(found):
        assert not any(label.box.meets(other.box) for other in found[place + 1 :])


def test_boxes_that_touch_do_not_meet() -> None:
    assert Box(0, 0, 2, 2).meets(Box(1, 1, 3, 3))
    assert not Box(0, 0, 2, 2).meets(Box(2, 0, 4, 2))


def test_intervals_stand_on_one_scale_with_0() -> None:
    up, down, none = spans_of([Interval(0.2, 0.1, 0.3), Interval(-0.1, -0.3, 0.1), Interval(0, 0, 0)])
    assert down.low < down.mean < down.zero == up.zero < up.low < up.mean < up.high
    assert (up.sure, down.sure, none.mean) == (True, False, none.zero)
    assert down.low == pytest.approx(1 - up.high)
    (alone,) = spans_of([Interval(0, 0, 0)])
    assert alone.zero == alone.mean == 0.5
    assert spans_of([]) == []
