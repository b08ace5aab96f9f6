"""How well one model's lists follow another's: figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rerank_ops.export.depth.following import Floats, following, overlap


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


def test_equal_lists_follow_wholly() -> None:
    lists = [floats(*range(20)), floats(3, 1, 2)]
    found = following(lists, lists)
    assert found.correlation == pytest.approx(1)
    assert found.overlap_at_10 == 1


def test_a_lists_level_counts_for_nothing() -> None:
    """Both models tell easy queries from hard ones, and order neither list alike: there is nothing to praise."""
    found = following([floats(101, 100), floats(1, 0)], [floats(100, 101), floats(0, 1)])
    assert found.correlation == pytest.approx(-1)


def test_correlation_is_that_of_all_pairs() -> None:
    # Less their means: -1, 0, 1 and -3, 3 beside -1, 1, 0 and 3, -3. Products 1, 0, 0, -9, -9; squares 20 and 20.
    found = following([floats(1, 2, 3), floats(0, 6)], [floats(4, 6, 5), floats(3, -3)])
    assert found.correlation == pytest.approx(-17 / 20)


def test_overlap_is_the_share_of_the_best() -> None:
    assert overlap(floats(4, 3, 2, 1), floats(4, 2, 3, 1), top=2) == 0.5
    assert overlap(floats(4, 3), floats(3, 4)) == 1


def test_equal_scores_keep_the_lists_order() -> None:
    assert overlap(floats(0, 0, 0, 0), floats(9, 8, 1, 2), top=2) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_follow_nothing(bad: float) -> None:
    found = following([floats(bad, 1)], [floats(2, 1)])
    assert (found.correlation, found.overlap_at_10) == (0, 0)


@pytest.mark.parametrize("lists", [[], [floats()], [floats(1, 1)]])
def test_lists_that_say_nothing_have_no_correlation(lists: list[Floats]) -> None:
    assert following(lists, lists).correlation == 0
