"""Differences, numbers that are none, and bit equality, against values worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from rerank_ops.quality.agreement import Scores, agreement, same_bits


def f32(*values: float) -> Scores:
    return np.array(values, dtype=np.float32)


def test_differences_are_of_the_values() -> None:
    found = agreement(f32(1.0, 2.0, 3.0), f32(1.0, 2.5, 2.0))
    assert found.max_difference == pytest.approx(1.0)
    assert found.rmse == pytest.approx(((0.25 + 1.0) / 3) ** 0.5)
    assert found.spearman == pytest.approx(0.5)
    assert found.unusable == 0


def test_what_is_no_number_is_counted_and_left_out() -> None:
    found = agreement(f32(1, 2, np.nan, 4), f32(1, 2, 3, np.inf))
    assert (found.unusable, found.spearman, found.max_difference) == (2, 1.0, 0.0)
    nothing = agreement(f32(np.nan), f32(1))
    assert (nothing.unusable, nothing.spearman, nothing.rmse) == (1, 0.0, 0.0)


def test_same_bits_means_bits() -> None:
    one = f32(0.1, 2.0)
    assert same_bits(one, one.copy())
    assert not same_bits(one, np.nextafter(one, f32(9)))
    assert not same_bits(f32(0.0), f32(-0.0))
    assert not same_bits(one, one[:1])
