"""The sweep orders as requests are ordered: at its ends by one stage alone, between them by both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.fusion.sweep import (
    FIRST_STAGE,
    METHODS,
    MODEL,
    VARIANTS,
    WEIGHTS,
    ScoredQuery,
    Variant,
    deviations_of,
    ranking,
    sweep,
)
from rerank_ops.judging.measures import measure

SCORE = st.floats(-50, 50, allow_nan=False).map(lambda score: round(score, 3))
PAIRS = st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=12)
RATIO = st.floats(0.01, 100)


def query(pairs: list[tuple[float, float]], name: str = "q", order: str = "descending") -> ScoredQuery:
    """A query of (logit, first-stage score) pairs; its documents are named by their places."""
    return ScoredQuery(
        id=name,
        documents=tuple(f"d{place}" for place in range(len(pairs))),
        logits=tuple(logit for logit, _ in pairs),
        scores=tuple(score for _, score in pairs),
        order="ascending" if order == "ascending" else "descending",
    )


@given(PAIRS, RATIO, st.sampled_from(METHODS))
def test_weight_0_is_the_model_and_infinity_the_first_stage(
    pairs: list[tuple[float, float]], ratio: float, method: str
) -> None:
    asked = query(pairs)
    places = {document: place for place, document in enumerate(asked.documents)}
    by_model = ranking(asked, Variant(method, 0.0), ratio)  # type: ignore[arg-type]
    by_first = ranking(asked, Variant(method, math.inf), ratio)  # type: ignore[arg-type]
    assert [pairs[places[each]][0] for each in by_model] == sorted((logit for logit, _ in pairs), reverse=True)
    assert [pairs[places[each]][1] for each in by_first] == sorted((score for _, score in pairs), reverse=True)


@given(PAIRS, RATIO, st.sampled_from(VARIANTS))
def test_every_variant_keeps_every_document(pairs: list[tuple[float, float]], ratio: float, variant: Variant) -> None:
    asked = query(pairs)
    assert sorted(ranking(asked, variant, ratio)) == sorted(asked.documents)


@given(PAIRS, st.sampled_from(VARIANTS))
def test_distances_order_as_their_opposites_do(pairs: list[tuple[float, float]], variant: Variant) -> None:
    opposite = [(logit, -score) for logit, score in pairs]
    assert ranking(query(pairs), variant, 0.5) == ranking(query(opposite, order="ascending"), variant, 0.5)


def test_the_ratio_is_that_of_the_geometric_mean_deviations() -> None:
    queries = [
        query([(0.0, 0.0), (2.0, 8.0)]),  # deviations 1 and 4
        query([(0.0, 0.0), (6.0, 4.0)]),  # 3 and 2
        query([(0.0, 5.0), (9.0, 5.0)]),  # equal scores teach nothing
        query([]),
    ]
    known = deviations_of(queries)
    assert known is not None
    assert known.requests == 2
    assert known.ratio == pytest.approx((3 / 8) ** 0.5)
    assert deviations_of(queries[2:]) is None


def test_values_are_those_of_the_measures() -> None:
    # The model finds the answer of one, the first stage of the other; together they find both.
    queries = [
        query([(5.0, 1.0), (4.0, 3.0), (-4.0, 2.0)], "one"),
        query([(-1.0, 9.0), (-1.2, 1.0), (-1.1, 2.0)], "two"),
        query([], "three"),
    ]
    qrels = {"one": {"d0": 1}, "two": {"d2": 2, "d1": 1}, "three": {"x": 1}, "other": {"d0": 1}}
    swept = sweep(queries, qrels)
    judged = {name: qrels[name] for name in ("one", "two", "three")}
    for variant in VARIANTS:
        run = {each.id: ranking(each, variant, swept.ratio) for each in queries}
        quality = measure(run, judged)
        assert swept.quality(variant).ndcg_at_10 == pytest.approx(quality.ndcg_at_10)
        assert swept.quality(variant).mrr_at_10 == pytest.approx(quality.mrr_at_10)
    assert swept.queries == ("one", "two", "three")
    assert swept.ndcg[MODEL][0] == 1.0
    assert swept.ndcg[FIRST_STAGE][0] < 1.0
    assert all(values[2] == 0 for values in swept.ndcg.values())


def test_the_methods_meet_at_both_ends() -> None:
    swept = sweep([query([(5.0, 1.0), (4.0, 3.0)])], {"q": {"d0": 1}})
    for weight, end in ((WEIGHTS[0], MODEL), (WEIGHTS[-1], FIRST_STAGE)):
        for method in METHODS:
            assert np.array_equal(swept.ndcg[Variant(method, weight)], swept.ndcg[end])
