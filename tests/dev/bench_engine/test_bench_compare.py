"""Ratios are taken inside a round; scores are compared request by request."""

import pytest

from rerank_dev.bench.engine.compare import agreement, paired_ratios


def test_ratios_are_of_the_same_round() -> None:
    assert paired_ratios([6.0, 30.0], [2.0, 3.0]) == [3.0, 10.0]


def test_rounds_that_one_did_not_run_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        paired_ratios([6.0], [2.0, 3.0])


def test_equal_scores_agree() -> None:
    found = agreement([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]])
    assert found.max_difference == 0.0
    assert found.spearman == pytest.approx(1.0)


def test_order_counts_within_a_request_only() -> None:
    # Over both requests together the order is nearly right; within each it is reversed.
    found = agreement([[2.0, 1.0], [20.0, 10.0]], [[1.0, 2.0], [10.0, 20.0]])
    assert found.spearman == pytest.approx(-1.0)
    assert found.max_difference == 10.0
