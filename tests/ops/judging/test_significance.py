"""Significance: p values that differ from chance only where the values do, and corrections for many comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.judging.significance import CORRECTIONS, TESTS, benjamini_hochberg, holm, t_p


def test_p_is_that_of_a_paired_t_test() -> None:
    """By hand: differences of mean 0.25 and standard error 0.1443; t = 1.732 at three degrees of freedom."""
    one, other = np.array([0.5, 1.0, 0.75, 0.5]), np.array([0.5, 0.5, 0.25, 0.5])
    assert t_p(one, other) == pytest.approx(0.1817, abs=1e-4)
    assert t_p(other, one) == t_p(one, other)


def test_the_seed_draws_other_signs_and_equal_seeds_the_same() -> None:
    random = np.random.default_rng(3)
    one, other = random.random(30), random.random(30)
    found = [TESTS["randomisation"](one, other, seed) for seed in (0, 0, 7)]
    assert found[0] == found[1] != found[2] == pytest.approx(found[0], abs=0.03)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.1, 0.9, 0.4]])
def test_where_nothing_differs_there_is_no_evidence(values: list[float], test: str) -> None:
    assert TESTS[test](np.array(values), np.array(values), 0) == 1.0


def test_all_tests_see_a_difference_that_is_there_and_their_p_are_near_each_other() -> None:
    """Of normal differences with a mean of half their deviation, the t-test is the reference for the other two."""
    random = np.random.default_rng(7)
    other = random.uniform(size=60)
    one = other + random.normal(0.05, 0.1, size=60)
    found = {name: test(one, other, 0) for name, test in TESTS.items()}
    assert all(p < 0.01 for p in found.values()), found
    assert found["randomisation"] == pytest.approx(found["t"], abs=0.002)


def test_three_signs_of_one_direction_come_up_once_in_four() -> None:
    """By hand: of the eight draws of three signs, two give a mean as large as the observed one."""
    assert TESTS["randomisation"](np.array([0.3, 0.2, 0.4]), np.zeros(3), 0) == pytest.approx(0.25, abs=0.02)
    assert TESTS["wilcoxon"](np.array([0.3, 0.2, 0.4]), np.zeros(3), 0) == 0.25


def test_equal_differences_are_equal_however_they_are_rounded() -> None:
    """P@10 that grows by a tenth in each query has no deviation to test by, and equal ranks."""
    other = np.array([0.1, 0.2, 0.3, 0.6, 0.7])
    one = np.array([0.2, 0.3, 0.4, 0.7, 0.8])
    assert TESTS["t"](one, other, 0) == 1.0
    mixed = np.array([0.2, 0.3, 0.2, 0.7, 0.8])
    assert TESTS["wilcoxon"](mixed, other, 0) == TESTS["wilcoxon"](np.array([1.0, 1, -1, 1, 1]), np.zeros(5), 0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_and_hochberg_by_hand() -> None:
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@pytest.mark.parametrize("correction", CORRECTIONS)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrected_values_keep_their_order_and_are_never_smaller(correction: str, p_values: list[float]) -> None:
    corrected = CORRECTIONS[correction](p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
    ranked = [after for _, after in sorted(zip(p_values, corrected, strict=True))]
    assert ranked == sorted(ranked)
