"""A ranking: by logits alone, or fused; and the ratio that belongs to other logits is not used."""

from __future__ import annotations

from dataclasses import replace

from producer.request.test_response import IDENTITY, plan_of, respond, scored_of
from rerank_producer._request.ranking import ranking_of
from rerank_shared.contract.messages import Fusion, Score

SCORES = [Score(1.0, 5, False), Score(3.0, 5, False), Score(2.0, 5, False)]
FUSION = Fusion("weighted", 1.0, (9.0, 1.0, 5.0), ratio=1.0, learned_requests=40, first_stage="bm25")


def test_the_answer_has_all_three_scores_and_their_order() -> None:
    response = respond(plan_of(3, {}, fusion=FUSION), scored_of([*SCORES]))
    rows = [(each.index, each.logit, each.first_stage_score, each.fused_score) for each in response.results]
    assert rows == [(0, 1.0, 9.0, 5.0), (2, 2.0, 5.0, 2.0), (1, 3.0, 1.0, -1.0)]
    assert response.fusion is not None
    assert response.fusion.model_dump() == {
        "method": "weighted",
        "applied": "weighted",
        "weight": 1.0,
        "ratio": 1.0,
        "learned_requests": 40,
        "first_stage": "bm25",
    }


def test_without_fusion_the_answer_says_nothing_of_it() -> None:
    response = respond(plan_of(3, {}), scored_of([*SCORES]))
    assert response.fusion is None
    assert [(each.first_stage_score, each.fused_score) for each in response.results] == [(None, None)] * 3


def test_the_best_are_cut_after_fusing() -> None:
    response = respond(plan_of(3, {}, 1, fusion=FUSION), scored_of([*SCORES]))
    assert [each.index for each in response.results] == [0]


def test_what_is_cached_is_fused_too() -> None:
    response = respond(plan_of(3, dict(enumerate(SCORES)), fusion=FUSION))
    assert [each.index for each in response.results] == [0, 2, 1]


def test_a_partial_answer_puts_unscored_documents_behind_by_first_stage_score() -> None:
    fusion = replace(FUSION, scores=(0.0, 9.0, 1.0, 5.0), ratio=None)
    response = respond(plan_of(4, {}, fusion=fusion), scored_of([Score(-9.0, 5, False), None, None, None]))
    assert [each.index for each in response.results] == [0, 1, 3, 2]
    assert [each.scored for each in response.results] == [True, False, False, False]
    assert [each.first_stage_score for each in response.results] == [0.0, 9.0, 5.0, 1.0]


def test_a_ratio_that_was_learned_from_another_model_is_not_used() -> None:
    """The fleet's model changed after the look-up: the request's own deviations stand in."""
    other = replace(IDENTITY, model_digest="f" * 64)
    learned = ranking_of(plan_of(3, {}, fusion=FUSION), scored_of([*SCORES], other)).fusion_info()
    assert learned is not None
    assert (learned.applied, learned.learned_requests) == ("zscore", 0)
    given = replace(FUSION, learned_requests=None)
    kept = ranking_of(plan_of(3, {}, fusion=given), scored_of([*SCORES], other)).fusion_info()
    assert kept is not None
    assert (kept.applied, kept.ratio) == ("weighted", 1.0)


def test_before_any_score_the_first_stage_s_order_stands() -> None:
    response = respond(plan_of(3, {}, fusion=FUSION))
    assert [each.index for each in response.results] == [0, 2, 1]
    assert not response.complete
