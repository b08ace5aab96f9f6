"""Methods of fusion: the formulas, and what an order must never depend on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rerank_producer.fusion.methods import FusedOrder, fused_order
from rerank_shared.contract.messages import Fusion
from rerank_shared.keys import FusionMethod

METHODS: tuple[FusionMethod, ...] = ("weighted", "zscore", "rrf")
ALL = pytest.mark.parametrize("method", METHODS)
#: Eighths, so that sums are exact and ties are common.
NUMBERS = st.integers(-80, 80).map(lambda eighths: eighths / 8)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20)
WEIGHTS = st.sampled_from([0.0, 0.25, 1.0, 4.0, 1e6, math.inf])
ODD = st.floats(allow_nan=False, allow_infinity=False)


def fused(logits: Sequence[float | None], scores: Sequence[float | None], **changes: Any) -> FusedOrder:
    fields: dict[str, Any] = {"method": "weighted", "weight": 1.0, "ratio": 0.5}
    return fused_order(logits, Fusion(scores=tuple(scores), **(fields | changes)))


def split(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [logit for logit, _ in pairs], [score for _, score in pairs]


def by(*keys: Callable[[int], float], count: int) -> list[int]:
    """The indexes, the largest of the first key first, ties by the next, then by index."""
    return sorted(range(count), key=lambda index: (*(-key(index) for key in keys), index))


@given(PAIRS, st.sampled_from([0.25, 1.0, 4.0]), st.sampled_from([0.125, 1.0, 16.0]))
def test_weighted_is_the_logit_and_the_scaled_distance_from_the_mean(
    pairs: list[tuple[float, float]], weight: float, ratio: float
) -> None:
    logits, scores = split(pairs)
    found = fused(logits, scores, weight=weight, ratio=ratio)
    expected = np.array(logits) + weight * ratio * (np.array(scores) - np.mean(scores))
    assert found.scores == pytest.approx(expected.tolist(), abs=1e-9)
    assert (found.applied, found.ratio) == ("weighted", ratio)


@given(PAIRS, st.sampled_from([0.25, 1.0, 4.0]))
def test_zscore_orders_as_the_sum_of_z_scores(pairs: list[tuple[float, float]], weight: float) -> None:
    logits, scores = (np.array(each) for each in split(pairs))
    assume(logits.std() > 0 and scores.std() > 0)
    sums = (logits - logits.mean()) / logits.std() + weight * (scores - scores.mean()) / scores.std()
    found = fused(logits.tolist(), scores.tolist(), method="zscore", weight=weight, ratio=None)
    assert found.ratio == pytest.approx(logits.std() / scores.std())
    # On the scale of logits: the same sums, stretched and moved.
    assert np.array(found.scores) == pytest.approx(sums * logits.std() + logits.mean(), abs=1e-9)


@given(PAIRS, st.sampled_from([0.0, 0.25, 1.0, 4.0]))
def test_rrf_adds_reciprocal_ranks_and_equal_values_share_the_better_one(
    pairs: list[tuple[float, float]], weight: float
) -> None:
    logits, scores = split(pairs)

    def rank(values: list[float], value: float) -> int:
        return 1 + sum(other > value for other in values)

    expected = [1 / (60 + rank(logits, logit)) + weight / (60 + rank(scores, score)) for logit, score in pairs]
    assert fused(logits, scores, method="rrf", weight=weight).scores == pytest.approx(expected, rel=1e-12)


@ALL
@given(pairs=PAIRS)
def test_weight_0_is_the_model_s_order(method: FusionMethod, pairs: list[tuple[float, float]]) -> None:
    logits, scores = split(pairs)
    assert fused(logits, scores, method=method, weight=0.0).order == by(logits.__getitem__, count=len(pairs))


@ALL
@given(pairs=PAIRS)
def test_infinite_weight_is_the_first_stage_s_order(method: FusionMethod, pairs: list[tuple[float, float]]) -> None:
    logits, scores = split(pairs)
    found = fused(logits, scores, method=method, weight=math.inf, ratio=None)
    assert found.order == by(scores.__getitem__, logits.__getitem__, count=len(pairs))
    assert all(score is not None and math.isfinite(score) for score in found.scores)


@ALL
@given(pairs=PAIRS, weight=WEIGHTS)
def test_scores_and_order_never_disagree(method: FusionMethod, pairs: list[tuple[float, float]], weight: float) -> None:
    logits, scores = split(pairs)
    found = fused(logits, scores, method=method, weight=weight)
    assert sorted(found.order) == list(range(len(pairs)))
    ordered = [found.scores[index] for index in found.order]
    assert ordered == sorted(ordered, key=lambda score: -(score or 0.0))
    for before, after in zip(found.order, found.order[1:], strict=False):
        if found.scores[before] == found.scores[after] and 0 < weight < math.inf:
            assert (scores[before], -before) >= (scores[after], -after)


@ALL
@given(pairs=PAIRS, weight=WEIGHTS)
def test_a_document_that_is_better_in_both_never_stands_behind(
    method: FusionMethod, pairs: list[tuple[float, float]], weight: float
) -> None:
    logits, scores = split(pairs)
    place = {index: at for at, index in enumerate(fused(logits, scores, method=method, weight=weight).order)}
    for one in range(len(pairs)):
        for other in range(len(pairs)):
            if logits[one] >= logits[other] and scores[one] >= scores[other] and pairs[one] != pairs[other]:
                if weight == 0 and logits[one] == logits[other]:
                    continue
                assert place[one] < place[other]


@pytest.mark.parametrize("method", ["weighted", "rrf"])
@given(pairs=PAIRS, index=st.integers(0, 19), rise=st.integers(1, 80), weight=WEIGHTS)
def test_a_better_first_stage_score_never_costs_a_place(
    method: FusionMethod, pairs: list[tuple[float, float]], index: int, rise: int, weight: float
) -> None:
    index %= len(pairs)
    logits, scores = split(pairs)
    before = fused(logits, scores, method=method, weight=weight).order.index(index)
    scores[index] += rise / 8
    assert fused(logits, scores, method=method, weight=weight).order.index(index) <= before


@pytest.mark.parametrize("method", ["zscore", "rrf"])
@given(
    pairs=PAIRS,
    weight=WEIGHTS,
    shift=st.sampled_from([-1024.0, -1.0, 0.0, 8.0]),
    scale=st.sampled_from([2.0**-20, 0.5, 1.0, 4.0, 2.0**40]),
)
def test_the_scale_of_the_first_stage_changes_nothing(
    method: FusionMethod, pairs: list[tuple[float, float]], weight: float, shift: float, scale: float
) -> None:
    logits, scores = split(pairs)
    one = fused(logits, scores, method=method, weight=weight, ratio=None)
    # Powers of two and eighths: exact, so that no tie is broken by rounding.
    other = fused(logits, [(score + shift) * scale for score in scores], method=method, weight=weight, ratio=None)
    assert np.array(other.scores) == pytest.approx(np.array(one.scores), rel=1e-9, abs=1e-9)
    apart = {round(score or 0.0, 6) for score in one.scores}
    if len(apart) == len(pairs):
        assert other.order == one.order


@given(PAIRS, WEIGHTS, st.sampled_from([-64.0, 0.0, 3.0]), st.sampled_from([0.25, 1.0, 8.0]))
def test_a_fixed_ratio_goes_with_the_scale_that_it_was_learned_on(
    pairs: list[tuple[float, float]], weight: float, shift: float, scale: float
) -> None:
    logits, scores = split(pairs)
    one = fused(logits, scores, weight=weight, ratio=0.5)
    other = fused(logits, [(score + shift) * scale for score in scores], weight=weight, ratio=0.5 / scale)
    assert np.array(other.scores) == pytest.approx(np.array(one.scores), rel=1e-9, abs=1e-9)


@ALL
@given(pairs=PAIRS, weight=WEIGHTS)
def test_distances_are_scores_with_the_sign_changed(
    method: FusionMethod, pairs: list[tuple[float, float]], weight: float
) -> None:
    logits, scores = split(pairs)
    one = fused(logits, scores, method=method, weight=weight)
    other = fused(logits, [-score for score in scores], method=method, weight=weight, order="ascending")
    assert (one.order, one.scores) == (other.order, other.scores)


@ALL
def test_one_document_and_equal_ones_keep_the_model_s_scores(method: FusionMethod) -> None:
    for logits, scores in (([2.5], [7.0]), ([3.0, 1.0, 2.0], [0.1, 0.1, 0.1])):
        found = fused(logits, scores, method=method, ratio=None)
        assert found.order == by(logits.__getitem__, count=len(logits))
        assert found.deviations is None
        if method != "rrf":
            assert (found.scores, found.ratio) == (logits, 0.0)


@ALL
def test_where_the_model_sees_no_difference_the_first_stage_decides(method: FusionMethod) -> None:
    assert fused([1.5, 1.5, 1.5], [1.0, 3.0, 2.0], method=method, ratio=None).order == [1, 2, 0]


@ALL
def test_a_document_without_first_stage_score_counts_as_the_worst_and_teaches_nothing(method: FusionMethod) -> None:
    some = fused([1.0, 2.0, 3.0], [9.0, None, 5.0], method=method, ratio=None)
    assert some.deviations is None
    filled = fused([1.0, 2.0, 3.0], [9.0, 5.0, 5.0], method=method, ratio=some.ratio)
    assert some.order == filled.order
    far = fused([1.0, 2.0, 3.0], [9.0, None, 5.0], method=method, order="ascending", ratio=None)
    assert far.order == fused([1.0, 2.0, 3.0], [9.0, 9.0, 5.0], method=method, order="ascending", ratio=far.ratio).order


@ALL
@given(data=st.data())
def test_unscored_documents_stand_behind_by_first_stage_score(method: FusionMethod, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.none() | NUMBERS, st.none() | NUMBERS), min_size=1, max_size=15))
    logits, scores = [logit for logit, _ in pairs], [score for _, score in pairs]
    assume(any(score is not None for score in scores))
    found = fused(logits, scores, method=method, ratio=None)
    scored = [index for index, logit in enumerate(logits) if logit is not None]
    assert set(found.order[: len(scored)]) == set(scored)
    worst = min(score for score in scores if score is not None)
    behind = [worst if scores[index] is None else scores[index] for index in found.order[len(scored) :]]
    assert behind == sorted(behind, key=lambda score: -(score or 0.0))
    assert [found.scores[index] for index in found.order[len(scored) :]] == [None] * (len(pairs) - len(scored))
    if len(scored) < len(pairs):
        assert found.deviations is None


@ALL
@given(pairs=st.lists(st.tuples(NUMBERS, ODD), min_size=1, max_size=12), weight=WEIGHTS)
def test_no_size_of_a_first_stage_score_is_too_much(
    method: FusionMethod, pairs: list[tuple[float, float]], weight: float
) -> None:
    logits, scores = split(pairs)
    found = fused(logits, scores, method=method, weight=weight, ratio=None)
    assert sorted(found.order) == list(range(len(pairs)))
    assert all(score is not None and math.isfinite(score) for score in found.scores)
    assert found.ratio is None or math.isfinite(found.ratio)


@given(PAIRS, ODD.filter(lambda ratio: ratio > 0))
def test_no_ratio_is_too_much(pairs: list[tuple[float, float]], ratio: float) -> None:
    found = fused(*split(pairs), ratio=ratio)
    assert all(score is not None and math.isfinite(score) for score in found.scores)


def test_the_order_of_the_documents_stands_for_scores_that_are_missing() -> None:
    found = fused_order([1.0, 3.0, 2.0], Fusion("rrf", 1.0, ()))
    ranked = fused([1.0, 3.0, 2.0], [3.0, 2.0, 1.0], method="rrf")
    assert (found.order, found.scores) == (ranked.order, ranked.scores)
    assert found.deviations is None


def test_without_a_learned_ratio_z_scores_stand_in() -> None:
    learning = Fusion("weighted", 1.0, (4.0, 2.0, 9.0), ratio=None, learned_requests=3)
    logits = [1.0, 5.0, 2.0]
    assert fused_order(logits, learning) == fused_order(logits, replace(learning, method="zscore"))


@given(PAIRS)
def test_the_lesson_is_the_two_deviations(pairs: list[tuple[float, float]]) -> None:
    logits, scores = split(pairs)
    assert fused(logits, scores).deviations is None
    lesson = fused(logits, scores, learned_requests=40).deviations
    if np.std(logits) == 0 or np.std(scores) == 0:
        assert lesson is None
    else:
        assert lesson is not None
        assert lesson.requests == 1
        assert lesson.logit == pytest.approx(np.std(logits))
        assert lesson.first_stage == pytest.approx(np.std(scores))


@ALL
@given(pairs=PAIRS, weight=st.sampled_from([1e9, 1e17, 1e300]))
def test_a_large_weight_is_no_less_than_monotone(
    method: FusionMethod, pairs: list[tuple[float, float]], weight: float
) -> None:
    """Sums in which logits no longer show are ties, which the better logit still wins."""
    logits, scores = split(pairs)
    found = fused(logits, scores, method=method, weight=weight, ratio=None)
    assert found.order == fused(logits, scores, method=method, weight=math.inf, ratio=None).order


@ALL
def test_errors_of_rounding_are_no_difference(method: FusionMethod) -> None:
    """0.7 + 0.1 is below 0.8 in the last bit: no evidence for a first stage that gave three equal scores."""
    found = fused([3.0, 1.0, 2.0], [0.7 + 0.1, 0.8, 0.9 - 0.1], method=method, ratio=None)
    if method != "rrf":
        assert (found.scores, found.ratio, found.order) == ([3.0, 1.0, 2.0], 0.0, [0, 2, 1])
    assert found.deviations is None
