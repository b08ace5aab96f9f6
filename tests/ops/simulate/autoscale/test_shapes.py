"""Shapes of load."""

from __future__ import annotations

from statistics import mean

import pytest

from rerank_ops.simulate.autoscale.shapes import SHAPES, times


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_its_rate(name: str) -> None:
    shape = SHAPES[name]
    shares = [shape.share_at(float(second)) for second in range(int(shape.duration_s))]
    assert min(shares) >= 0
    assert max(shares) <= 1
    found = list(times(shape, 5.0, seed=1))
    assert found == sorted(found)
    assert found[-1] < shape.duration_s
    assert len(found) / shape.duration_s == pytest.approx(5.0 * mean(shares), rel=0.1)


def test_requests_come_where_the_shape_is_high() -> None:
    bursts = [at for at in times(SHAPES["minutely"], 5.0, seed=1) if at % 60 < 5]
    assert len(bursts) > 0.5 * len(list(times(SHAPES["minutely"], 5.0, seed=1)))
