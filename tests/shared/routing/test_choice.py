"""The choice by the query: shares are met, and a share that grows takes queries from the others and gives none back."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.routing.choice import choose, shadows
from rerank_shared.routing.route import Share

QUERIES = [f"how do I open file number {number}?" for number in range(2_000)]
MODELS = ["minilm", "minilm-v2", "BAAI/bge-reranker-v2-m3", "file:/srv/own", "jina"]
weights = st.floats(0.01, 1_000.0)
routes = st.lists(st.tuples(st.sampled_from(MODELS), weights), min_size=2, max_size=5, unique_by=lambda pair: pair[0])


def shares(*pairs: tuple[str, float]) -> list[Share]:
    return [Share(model, weight) for model, weight in pairs]


def met(route: list[Share]) -> list[str]:
    return [choose(route, query) for query in QUERIES]


@given(routes)
def test_shares_are_met(pairs: list[tuple[str, float]]) -> None:
    found, whole = met(shares(*pairs)), sum(weight for _, weight in pairs)
    for model, weight in pairs:
        # Five standard deviations of the largest share.
        assert found.count(model) / len(QUERIES) == pytest.approx(weight / whole, abs=5 * 0.5 / len(QUERIES) ** 0.5)


@given(routes, st.floats(1.0, 100.0), st.integers(0, 4))
def test_a_share_that_grows_gains_queries_and_moves_no_others(
    pairs: list[tuple[str, float]], factor: float, which: int
) -> None:
    grown = pairs[which % len(pairs)][0]
    before = met(shares(*pairs))
    after = met(shares(*[(model, weight * factor if model == grown else weight) for model, weight in pairs]))
    for old, new in zip(before, after, strict=True):
        assert new in (old, grown)
        assert old != grown or new == grown


def test_a_canary_keeps_the_queries_of_its_first_step() -> None:
    found = [
        {query for query in QUERIES if choose(shares(("old", 100 - percent), ("new", percent)), query) == "new"}
        for percent in (1, 5, 25, 99)
    ]
    assert found[0] < found[1] < found[2] < found[3]


@given(routes, st.text())
def test_weights_are_relative_and_their_order_means_nothing(pairs: list[tuple[str, float]], query: str) -> None:
    # Powers of two, so that no weight is rounded.
    doubled = shares(*[(model, weight * 2) for model, weight in pairs])
    assert choose(shares(*pairs), query) == choose(doubled, query) == choose(shares(*reversed(pairs)), query)


def test_a_route_to_one_model_leads_there() -> None:
    assert choose(shares(("minilm", 0.1)), "any") == "minilm"


def test_another_process_chooses_the_same() -> None:
    """Python's own hash differs from process to process."""
    script = (
        "from rerank_shared.routing.choice import choose\nfrom rerank_shared.routing.route import Share\n"
        "print(*(choose([Share('a', 1), Share('b', 2)], f'query {n}') for n in range(50)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [choose(shares(("a", 1), ("b", 2)), f"query {n}") for n in range(50)]


def sampled(rate: float, live: str = "live") -> set[str]:
    return {query for query in QUERIES if shadows(shares(("new", rate)), query, live)}


def test_a_shadow_meets_its_share_of_the_queries_of_each_live_model() -> None:
    route = shares(("a", 70), ("b", 30))
    for model in ("a", "b"):
        queries = [query for query in QUERIES if choose(route, query) == model]
        met_by = [query for query in queries if shadows(shares(("new", 0.2)), query, model)]
        assert len(met_by) / len(queries) == pytest.approx(0.2, abs=5 * 0.4 / len(queries) ** 0.5)


def test_a_model_that_answers_a_share_shadows_the_queries_of_the_others() -> None:
    route = shares(("a", 1), ("b", 1))
    live = {query: choose(route, query) for query in QUERIES}
    assert {model for query, model in live.items() if shadows(shares(("b", 1)), query, model)} == {"a"}


def test_a_shadow_that_grows_keeps_its_queries() -> None:
    found = [sampled(rate) for rate in (0.01, 0.1, 0.5, 1)]
    assert found[0] < found[1] < found[2] < found[3]
    assert found[3] == set(QUERIES)


def test_several_shadows_are_chosen_apart() -> None:
    found = [shadows(shares(("a", 0.5), ("b", 0.5)), query, "live") for query in QUERIES]
    assert {tuple(models) for models in found} == {(), ("a",), ("b",), ("a", "b")}
    assert shadows((), QUERIES[0], "live") == []
