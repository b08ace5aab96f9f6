"""Rank correlation and bit equality against values worked out on paper, scipy's published ones, and each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.quality.agreement import Scores, agreement, ranks, same_bits, spearman

LISTS = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=40)


def of(*values: float) -> npt.NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def f32(*values: float) -> Scores:
    return np.array(values, dtype=np.float32)


def test_ties_share_their_mean_rank() -> None:
    assert ranks(of(10, 20, 20, 5, 20)).tolist() == [2, 4, 4, 1, 4]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 400], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        # 1 - 6 sum(d^2) / (n (n^2 - 1)) with d = 0, 0, 1, 1
        ([1, 2, 3, 4], [1, 2, 4, 3], 0.8),
        # The example of scipy.stats.spearmanr's documentation.
        ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 0.8207826816681233),
        ([1, 1, 1], [1, 2, 3], 0.0),
        ([1], [1], 0.0),
        ([], [], 0.0),
    ],
)
def test_values_worked_out_elsewhere(one: list[float], other: list[float], expected: float) -> None:
    assert spearman(of(*one), of(*other)) == pytest.approx(expected, abs=1e-12)


@given(LISTS)
def test_only_the_order_counts(values: list[float]) -> None:
    expected = 1.0 if len(set(values)) > 1 else 0.0
    array = of(*values)
    assert spearman(array, np.exp(array)) == pytest.approx(expected)
    assert spearman(array, -array) == pytest.approx(-expected)


@given(LISTS)
def test_ranks_are_those_of_their_definition(values: list[float]) -> None:
    expected = [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]
    assert ranks(of(*values)).tolist() == expected


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
