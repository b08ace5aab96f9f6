"""The choice by the query: shares are met, and a share that grows takes queries from the others and gives none back."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.routing.choice import choose
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
