"""Clicks become judgements: searchers of known habits are simulated, and what is recovered is held against them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from rerank_ops.feedback.answers import Answer, join
from rerank_ops.feedback.judged import judged
from rerank_ops.feedback.propensities import MIN_CLICKS, Propensities, propensities
from rerank_shared.contract.messages import Feedback
from rerank_shared.contract.swaps import DEPTH, swap_rank, swapped

#: How much each rank is looked at, against the first: steep, as eye-tracking finds it.
LOOKED_AT = [1 / rank for rank in range(1, DEPTH + 1)]
#: How often each document is clicked where it is looked at, in the order of a ranking that has much of it wrong.
WORTH = {"a": 0.30, "b": 0.25, "c": 0.55, "d": 0.20, "e": 0.65, "f": 0.15, "g": 0.45, "h": 0.10, "i": 0.75, "j": 0.35}
TRUE_ORDER = sorted(WORTH, key=lambda document: -WORTH[document])


def simulated(requests: int, share: float, seed: int = 1) -> Iterator[Feedback]:
    """Yield what searchers click that look at ranks as `LOOKED_AT` says, and click what is worth it."""
    chance = random.Random(seed)
    for number in range(requests):
        request_id, shown = f"r{number}", list(WORTH)
        rank = swap_rank(request_id, share)
        if rank is not None:
            shown = swapped(shown, rank)
        seen = enumerate(zip(shown, LOOKED_AT, strict=True), start=1)
        clicked = tuple(place for place, (document, looked) in seen if chance.random() < looked * WORTH[document])
        yield Feedback(request_id, tuple(shown), clicked, query_id="q", swapped_rank=rank or 0)


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    """Answers of a log in which half are swapped: a short one, where a real one is long and swaps a hundredth."""
    return list(join(simulated(60_000, share=0.5)).answers.values())


@pytest.fixture(scope="module")
def found(answers: list[Answer]) -> Propensities:
    return propensities(answers)


def order(answers: list[Answer], found: Propensities | None) -> list[str]:
    rows = judged(answers, found, clip=0.05)
    return [row.document_id for row in sorted(rows, key=lambda row: -row.weight)]


def test_raw_clicks_do_not_have_the_true_order(answers: list[Answer]) -> None:
    """They have what stood on top: the ranking would teach itself what it says already."""
    assert order(answers, None) != TRUE_ORDER
    assert order(answers, None)[0] == "a"


def test_weighted_clicks_do(answers: list[Answer], found: Propensities) -> None:
    assert order(answers, found) == TRUE_ORDER
    weights = {row.document_id: row.weight for row in judged(answers, found, clip=0.05)}
    assert weights == pytest.approx(WORTH, rel=0.25)


def test_the_pull_of_each_rank_is_found(found: Propensities) -> None:
    assert found.known == DEPTH
    assert found.values == pytest.approx(LOOKED_AT, rel=0.2)
    ratios = [below / here for here, below in pairwise(LOOKED_AT)]
    steps = zip(found.steps, ratios, strict=True)
    held = [(step.low or 0.0) <= ratio <= (step.high or 0.0) for step, ratio in steps]
    # Intervals of 95 %: of nine, one or two may miss.
    assert sum(held) >= 7


def test_a_swap_of_a_hundredth_will_do_for_the_first_ranks() -> None:
    found = propensities(join(simulated(60_000, share=0.01)).answers.values())
    assert found.values[1] == pytest.approx(LOOKED_AT[1], rel=0.3)


def test_the_chain_ends_where_too_little_was_clicked() -> None:
    few = propensities(join(simulated(600, share=0.2)).answers.values())
    assert 1 <= few.known < DEPTH
    assert few.weight(DEPTH, clip=0.01) == few.weight(few.known, clip=0.01)
    unknown = few.steps[few.known - 1]
    assert unknown.ratio is None
    assert propensities([]).known == 1
    assert propensities(join(simulated(1_000, share=0.0)).answers.values()).known == 1
    assert MIN_CLICKS > 1


def test_a_clip_bounds_what_one_click_counts() -> None:
    steep = Propensities((1.0, 0.01))
    assert steep.weight(2, clip=0.1) == 10
    assert steep.weight(1, clip=0.1) == 1


def test_who_shows_less_than_the_swap_counts_for_the_ranks_shown() -> None:
    """A rank whose neighbour was not shown tells nothing of the step between them, nor does a swap beside the pair."""
    records = [
        Feedback(f"r{number}", ("a", "b"), (1,) if number % 2 else (2,), swapped_rank=2, query_id="q")
        for number in range(100)
    ]
    found = propensities(join(records).answers.values())
    assert found.steps[0].swapped == 0
    assert found.known == 1


def test_what_is_told_of_one_request_is_joined() -> None:
    told = [
        Feedback("r", ("a", "b"), (), query_digest="d", tenant="t"),
        Feedback("r", ("a", "b", "c"), (3,), query_id="q", tenant="t"),
        Feedback("r", ("a", "b"), (2,), tenant="t", query="how?", texts=("A", None)),
        Feedback("r", ("a", "b"), (2,), tenant="t"),
        Feedback("r", ("b", "a"), (1,), tenant="t"),
        Feedback("r", ("x",), (1,), tenant="other"),
    ]
    joined = join(told)
    assert joined.conflicting == 1
    (answer, other) = joined.answers.values()
    assert (answer.shown, answer.clicked) == (("a", "b", "c"), {2, 3})
    assert (answer.query_id, answer.query_digest, answer.query, answer.texts) == ("q", "d", "how?", {"a": "A"})
    assert other.clicked == {1}


def test_grades_are_hundredths_and_a_click_is_never_none() -> None:
    answers = join(
        [Feedback(f"r{i}", ("a", "b", "c"), (1,) if i else (1, 2), query_id="q") for i in range(500)]
    ).answers
    rows = {row.document_id: row for row in judged(answers.values(), None)}
    assert [rows[name].grade for name in "abc"] == [100, 1, 0]
    assert (rows["b"].clicks, rows["b"].impressions, rows["b"].rank) == (1, 500, 2.0)
    assert judged(answers.values(), None, min_impressions=501) == []


def test_a_query_is_called_by_the_best_name_there_is() -> None:
    told = [
        Feedback("r1", ("a",), (1,), query_id="own", query_digest="d1"),
        Feedback("r2", ("a",), (1,), query_digest="d2"),
        Feedback("r3", ("a",), (1,), query_digest="d3"),
        Feedback("r4", ("a",), (1,)),
    ]
    rows = judged(join(told).answers.values(), None, query_names={"d2": "q2", "d1": "q1"})
    assert [row.query_id for row in rows] == ["own", "q2", "request:r4", "sha256:d3"]
