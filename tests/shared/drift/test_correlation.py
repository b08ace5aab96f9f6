"""Rank correlation against values worked out on paper, scipy's published ones, and its definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.drift.correlation import ranks, spearman

LISTS = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=40)


def test_ties_share_their_mean_rank() -> None:
    assert ranks([10, 20, 20, 5, 20]) == [2, 4, 4, 1, 4]


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
    assert spearman(one, other) == pytest.approx(expected, abs=1e-12)


@given(LISTS)
def test_only_the_order_counts(values: list[float]) -> None:
    expected = 1.0 if len(set(values)) > 1 else 0.0
    assert spearman(values, [math.exp(value) for value in values]) == pytest.approx(expected)
    assert spearman(values, [-value for value in values]) == pytest.approx(-expected)


@given(LISTS)
def test_ranks_are_those_of_their_definition(values: list[float]) -> None:
    expected = [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]
    assert ranks(values) == expected
