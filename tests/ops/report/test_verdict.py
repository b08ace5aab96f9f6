"""The verdict says what intervals and corrected p allow, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rerank_ops.evaluate.comparison import Comparison, Row
from rerank_ops.evaluate.evaluation import Asked, Evaluation
from rerank_ops.judging.bootstrap import Interval
from rerank_ops.report.verdict import subject, verdict


def row(
    name: str,
    mean: float,
    low: float,
    high: float,
    p: Sequence[float] = (0.01, 0.01),
    counts: tuple[int, int, int] = (30, 9, 13),
) -> Row:
    """A row with an interval of its difference, and corrected p; the uncorrected ones must not count."""
    tests = ("t", "randomisation")
    corrected = dict(zip(tests, p, strict=True))
    found = Comparison("bm25", Interval(mean, low, high), dict.fromkeys(tests, 0.0), corrected, *counts)
    return Row(name, "model", ("q",), {"nDCG@10": np.array([0.5])}, {"nDCG@10": found})


def evaluation(*rows: Row, queries: int = 52) -> Evaluation:
    asked = Asked("tiny", queries, 50, "bm25", "bm25", ("nDCG@10",), ("t", "randomisation"), "holm", 0, None)
    base = Row("bm25", "first stage", ("q",), {"nDCG@10": np.array([0.5])}, {})
    return Evaluation(asked, (base, *rows), (), (), {})


def test_a_better_system_is_named_with_its_interval() -> None:
    found = evaluation(row("model", 0.006, -0.068, 0.080, (0.9, 0.9)), row("model + bm25", 0.067, 0.020, 0.119))
    told = verdict(found)
    assert told.tone == "better"
    assert told.headline == (
        "model + bm25 is better than bm25: nDCG@10 rises by 0.067, 0.020 to 0.119 with 95 % confidence."
    )
    assert "30 queries better, 9 the same, 13 worse; corrected p 0.010 and 0.010." in told.support
    assert "May be chance: model (+0.006, −0.068 to +0.080)." in told.support
    assert any("confirm it on others" in each for each in told.support)
    assert subject(found) == "model + bm25"


def test_a_higher_mean_that_may_be_chance_is_not_preferred() -> None:
    found = evaluation(row("lucky", 0.09, -0.01, 0.2, (0.1, 0.1)), row("sure", 0.05, 0.02, 0.08))
    assert verdict(found).headline.startswith("sure is better than bm25")
    assert "The mean of lucky is higher, but that may be chance." in verdict(found).support
    assert subject(found) == "sure"


@pytest.mark.parametrize(
    ("low", "p"),
    [(-0.001, (0.01, 0.01)), (0.001, (0.01, 0.06)), (0.001, (0.06, 0.01)), (0.001, (0.05, 0.05))],
)
def test_interval_and_every_corrected_p_have_to_agree(low: float, p: tuple[float, float]) -> None:
    told = verdict(evaluation(row("model", 0.03, low, 0.06, p)))
    assert (told.tone, told.headline) == ("open", "These 52 queries can't tell whether model is better than bm25.")


def test_the_number_of_queries_that_it_takes_is_told() -> None:
    """Half an interval of 0.049 is 1.96 standard errors of 0.025; 2.8 of them are 0.07, 3.5 times 0.02."""
    told = verdict(evaluation(row("model", 0.01, -0.039, 0.059, (0.5, 0.5)), queries=100))
    assert told.support[-1] == (
        "They show a difference of 0.07 or more four times of five. For one of 0.02 it takes about 1,000 queries of "
        "this kind."
    )


def test_the_baseline_is_kept_where_nothing_is_to_be_had() -> None:
    worse = row("model", -0.05, -0.08, -0.02)
    assert verdict(evaluation(worse)).headline == (
        "Keep bm25: model is worse by 0.050 in nDCG@10, 0.020 to 0.080 with 95 % confidence."
    )
    told = verdict(evaluation(worse, row("other", -0.03, -0.06, -0.01)))
    assert (told.tone, told.headline) == ("worse", "Keep bm25: all others are worse, by 0.030 or more in nDCG@10.")
    none = row("model", 0.001, -0.004, 0.006, (0.7, 0.7))
    assert verdict(evaluation(none)).headline == "Keep bm25: no system gains as much as 0.01 in nDCG@10."


def test_no_difference_at_all_one_query_and_no_comparison() -> None:
    same = row("model", 0.0, 0.0, 0.0, (1.0, 1.0), (0, 52, 0))
    assert verdict(evaluation(same)).headline == "Keep bm25: no query differs in nDCG@10."
    one = row("model", 0.4, 0.4, 0.4, (1.0, 1.0), (1, 0, 0))
    assert verdict(evaluation(one, queries=1)).headline == "One query can't tell: model differs by +0.400 in nDCG@10."
    assert verdict(evaluation()).headline == "Nothing was compared with bm25."
    assert subject(evaluation()) is None
