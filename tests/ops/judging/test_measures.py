"""The measures agree with values worked out on paper, and a missing question costs its full share."""

from math import log2

import pytest

from rerank_ops.judging.measures import measure, ndcg_by_question

JUDGED = {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}}
FILLER = [f"x{n}" for n in range(20)]


def test_perfect_run_scores_one() -> None:
    quality = measure({"q1": ["a", "x"], "q2": ["c", "b"]}, JUDGED)
    assert quality.ndcg_at_10 == pytest.approx(1.0)
    assert quality.mrr_at_10 == pytest.approx(1.0)


def test_values_worked_out_on_paper() -> None:
    quality = measure({"q1": ["x", "a"], "q2": ["b", "x", "c"]}, JUDGED)
    q1 = (1 / log2(3)) / 1
    q2 = (1 + 1 / log2(4)) / (1 + 1 / log2(3))
    assert quality.ndcg_at_10 == pytest.approx((q1 + q2) / 2)
    assert quality.mrr_at_10 == pytest.approx((1 / 2 + 1) / 2)


@pytest.mark.parametrize(("place", "counts"), [(10, True), (11, False)])
def test_only_the_first_ten_count(place: int, counts: bool) -> None:
    run = {"q1": [*FILLER[: place - 1], "a", *FILLER[place - 1 :]]}
    quality = measure(run, {"q1": {"a": 1}})
    assert quality.mrr_at_10 == pytest.approx(1 / place if counts else 0.0)
    assert quality.ndcg_at_10 == pytest.approx(1 / log2(place + 1) if counts else 0.0)


def test_the_order_of_the_list_decides_and_not_the_ids() -> None:
    ids = [*"zyxwvutsrqponmlkjihgfedcba"]
    for order in (ids, ids[::-1]):
        for place in (0, 3, 9):
            assert measure({"q": order}, {"q": {order[place]: 1}}).mrr_at_10 == pytest.approx(1 / (place + 1))


def test_questions_without_results_count_as_zero() -> None:
    for run in ({"q1": ["a"]}, {"q1": ["a"], "q2": []}):
        quality = measure(run, JUDGED)
        assert quality.ndcg_at_10 == pytest.approx(0.5)
        assert quality.mrr_at_10 == pytest.approx(0.5)
        assert ndcg_by_question(run, JUDGED) == pytest.approx({"q1": 1.0, "q2": 0.0})


def test_questions_without_judgement_change_nothing() -> None:
    run = {"q1": ["a"], "q2": ["x", "b"]}
    assert measure({**run, "q3": ["a"]}, JUDGED) == measure(run, JUDGED)


def test_mean_of_the_questions_is_the_aggregate() -> None:
    run = {"q1": ["x", "y", "a"], "q2": ["x", "b", "c"]}
    each = ndcg_by_question(run, JUDGED)
    assert measure(run, JUDGED).ndcg_at_10 == pytest.approx(sum(each.values()) / 2)
    assert each["q1"] < each["q2"]
