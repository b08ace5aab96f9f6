"""A request of which some pairs are left to other requests, and come back."""

from __future__ import annotations

import pytest

from rerank_producer._request.plan import RequestPlan, only_misses, with_hits, with_misses, without_misses
from rerank_shared.contract.messages import Score
from support.in_memory import Parts

SCORE = Score(1.5, 3, truncated=False)


@pytest.fixture
def plan() -> RequestPlan:
    return Parts().plan(["a", "b", "c", "d"], 30.0)


def test_pairs_that_are_left_to_others_are_neither_hits_nor_misses(plan: RequestPlan) -> None:
    left = without_misses(plan, {1, 3})
    assert (left.stored.misses, left.stored.hits) == ((0, 2), {})
    assert left.stored.job_id == plan.stored.job_id


def test_what_others_scored_becomes_hits(plan: RequestPlan) -> None:
    found = with_hits(without_misses(plan, {1, 3}), {1: SCORE})
    assert (found.stored.misses, found.stored.hits) == ((0, 2), {1: SCORE})
    assert with_hits(found, {3: SCORE}).stored.hits == {1: SCORE, 3: SCORE}


def test_what_others_did_not_score_is_a_job_of_its_own(plan: RequestPlan) -> None:
    rest = only_misses(plan, [3])
    assert rest.stored.misses == (3,)
    assert rest.stored.job_id != plan.stored.job_id
    assert rest.contents == plan.contents


def test_its_scores_stand_behind_those_of_the_first_job(plan: RequestPlan) -> None:
    both = with_misses(without_misses(plan, {1, 3}), [3, 1])
    assert both.stored.misses == (0, 2, 3, 1)
    assert both.stored.job_id == plan.stored.job_id
