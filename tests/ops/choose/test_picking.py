"""Picking and its bias: a tie goes to the cheaper, and the half that did not pick is honest."""

from __future__ import annotations

import numpy as np
import pytest

from rerank_ops.choose.curves import curve_of, on_front
from rerank_ops.choose.picking import best, bias_of, difference, halves_of, picked
from rerank_shared.errors import InputRefused


def test_a_tie_goes_to_the_cheaper() -> None:
    row = np.array([0.2, 0.4, 0.6])
    values = np.array([row, row, row - 0.1])
    assert picked(values, [3.0, 2.0, 1.0], [0, 1, 2], 0.01, 0) == 1
    assert best(values, [3.0, 2.0, 1.0], [0, 1, 2]) == 1
    assert picked(values, [3.0, 2.0, 1.0], [0, 2], 0.01, 0) == 0


def test_a_loss_below_the_margin_is_given_up_only_where_it_is_shown() -> None:
    top = np.full(40, 0.5)
    sure = top - 0.004
    # As small a loss on average, in queries that differ much.
    unsure = top + np.where(np.arange(40) % 2, 0.3, -0.3) - 0.004
    values = np.array([top, sure, unsure])
    assert picked(values, [3.0, 2.0, 1.0], [0, 1, 2], 0.01, 0) == 1
    assert picked(values, [3.0, 2.0, 1.0], [0, 1, 2], 0.0, 0) == 0
    assert picked(values, [3.0, 2.0, 1.0], [0, 1, 2], 0.2, 0) == 2


def test_of_equal_cost_the_better_is_taken() -> None:
    values = np.array([[0.500, 0.500], [0.505, 0.505], [0.503, 0.503]])
    assert picked(values, [1.0, 1.0, 1.0], [0, 1, 2], 0.01, 0) == 1


def test_the_half_that_picks_flatters_and_the_other_is_honest() -> None:
    """30 variants that differ by chance alone: each is worth 0.5, whatever the best of them seems to be."""
    looked, confirmed = [], []
    for seed in range(40):
        values = np.clip(np.random.default_rng(seed).normal(0.5, 0.2, (30, 100)), 0, 1)
        halves = halves_of(100, seed)
        row = picked(values[:, halves.picking], [1.0] * 30, list(range(30)), 0.01, seed, 200)
        looked.append(values[row, halves.picking].mean())
        confirmed.append(values[row, halves.confirming].mean())
    assert np.mean(looked) > 0.54
    assert np.mean(confirmed) == pytest.approx(0.5, abs=0.012)


def test_the_bias_is_measured_on_the_same_set() -> None:
    values = np.clip(np.random.default_rng(1).normal(0.5, 0.2, (30, 100)), 0, 1)
    many = bias_of(values, [1.0] * 30, list(range(30)), 0.01, 0)
    assert many.mean > 0.03
    only = bias_of(values[:1], [1.0], [0], 0.01, 0)
    assert abs(only.mean) < 0.02


def test_halves_are_drawn_by_the_seed_and_share_no_query() -> None:
    one, other = halves_of(41, 1), halves_of(41, 2)
    assert (len(one.picking), len(one.confirming)) == (21, 20)
    assert set(one.picking) | set(one.confirming) == set(range(41))
    assert one.picking.tolist() == halves_of(41, 1).picking.tolist() != other.picking.tolist()
    with pytest.raises(InputRefused, match="19 judged queries are too few"):
        halves_of(19, 0)


def test_a_difference_has_its_interval_its_p_and_its_counts() -> None:
    one, other = np.array([0.5, 0.5, 0.9] * 10), np.array([0.5, 0.6, 0.1] * 10)
    found = difference(one, other, "bm25", 0)
    assert (found.wins, found.ties, found.losses) == (10, 10, 10)
    assert found.gain.mean == pytest.approx(0.7 / 3)
    assert found.p < 0.05
    assert difference(one, one, "bm25", 0).p == 1.0


def test_enough_is_what_no_later_point_takes_back() -> None:
    last = np.full(30, 0.6)
    # 20 is as good as the last by luck; 30 after it is not.
    curve = curve_of([10, 20, 30, 50, 100], np.array([last - 0.2, last, last - 0.2, last - 0.005, last]), 0.01, 0)
    assert curve.enough == 50
    assert curve_of([10, 100], np.array([last - 0.2, last]), 0.01, 0).enough == 100
    assert curve_of([100], np.array([last]), 0.01, 0).enough == 100


def test_the_front_has_what_nothing_else_beats() -> None:
    times, qualities = [10.0, 20.0, 20.0, 30.0, 30.0, 40.0], [0.5, 0.6, 0.6, 0.55, 0.7, 0.7]
    assert on_front(times, qualities) == [True, True, False, False, True, False]
    assert on_front([1.0], [0.0]) == [True]
