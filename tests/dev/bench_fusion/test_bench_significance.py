"""Significance: p values that differ from chance only where the values do, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_dev.bench.fusion.significance import holm, p_value


def test_p_is_that_of_a_paired_t_test() -> None:
    """By hand: differences of mean 0.25 and standard error 0.1443; t = 1.732 at three degrees of freedom."""
    one, other = np.array([0.5, 1.0, 0.75, 0.5]), np.array([0.5, 0.5, 0.25, 0.5])
    assert p_value(one, other) == pytest.approx(0.1817, abs=1e-4)
    assert p_value(other, one) == p_value(one, other)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.1, 0.9, 0.4]])
def test_where_nothing_differs_there_is_no_evidence(values: list[float]) -> None:
    assert p_value(np.array(values), np.array(values)) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrected_values_keep_their_order_and_are_never_smaller(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
    ranked = [after for _, after in sorted(zip(p_values, corrected, strict=True))]
    assert ranked == sorted(ranked)
