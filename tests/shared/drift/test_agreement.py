"""Agreement of two models on one request, worked out on paper, and what holds of any scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.drift.agreement import TOP, agreement

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40)


def test_equal_scores_agree_in_everything() -> None:
    found = agreement([0.1, 0.9, 0.5], [0.1, 0.9, 0.5])
    assert (found.mean_difference, found.overlap, found.order) == (0.0, 1.0, 1.0)
    assert found.spearman == pytest.approx(1.0)
    assert (found.same_first, found.live_first, found.shadow_first) == (True, 1, 1)


def test_values_worked_out_on_paper() -> None:
    # Twelve documents; the shadow lifts the two worst into its top 10, and turns the first two round.
    live = [12.0 - index for index in range(12)]
    shadow = [live[1], live[0], *live[2:8], -1.0, -2.0, 5.5, 5.0]
    found = agreement(live, shadow)
    assert found.overlap == 0.8
    # Of the 45 pairs of the live top 10 one has turned round.
    assert found.order == pytest.approx(44 / 45)
    assert not found.same_first
    assert found.differences == (1.0, 1.0, 0, 0, 0, 0, 0, 0, 5.0, 5.0, 3.5, 4.0)
    assert found.mean_difference == pytest.approx(19.5 / 12)


def test_ties_keep_the_order_of_the_request_and_count_for_half() -> None:
    found = agreement([0.5, 0.4], [0.5, 0.5])
    assert (found.order, found.same_first, found.spearman) == (0.5, True, 0.0)


@given(SCORES)
def test_all_measures_are_within_their_bounds(pairs: list[tuple[float, float]]) -> None:
    found = agreement([one for one, _ in pairs], [other for _, other in pairs])
    assert 0 <= found.overlap <= 1
    assert 0 <= found.order <= 1
    assert -1 - 1e-9 <= found.spearman <= 1 + 1e-9
    if len(pairs) <= TOP:
        assert found.overlap == 1.0


@given(SCORES, SCORES)
def test_a_query_with_less_overlap_is_worse_whatever_its_spearman(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
) -> None:
    first, second = (agreement([a for a, _ in pairs], [b for _, b in pairs]) for pairs in (one, other))
    if first.overlap < second.overlap:
        assert first.rank < second.rank
