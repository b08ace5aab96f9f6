"""Cascades from scores that are there: the order is that of a request with stages, and its cost is told as computed."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from rerank_ops.evaluate.cascades import cascade_of, cascaded
from rerank_ops.evaluate.scoring import Again, ModelScores
from rerank_ops.fusion.sweep import MODEL, ScoredQuery, Variant
from rerank_producer.testing import InMemoryFleet
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.deviations import TRUSTED_REQUESTS
from rerank_shared.errors import ConfigurationError

MODELS = ("small", "big", "huge")
K = 12
QUERIES = tuple(f"q{number}" for number in range(TRUSTED_REQUESTS))
DOCUMENTS = tuple(f"d{place}" for place in range(K))


def logit(model: str, query: str, document: str) -> float:
    """A logit that has ties within a list, so that their order shows."""
    return float(random.Random(f"{model} {query} {document}").randrange(8))


def first_stage(query: str) -> list[float]:
    """Scores in falling order, with ties."""
    draws = random.Random(query)
    return sorted((float(draws.randrange(20)) for _ in DOCUMENTS), reverse=True)


def scores(model: str, again: Again | None = None) -> ModelScores:
    queries = tuple(
        ScoredQuery(
            query, DOCUMENTS, tuple(logit(model, query, each) for each in DOCUMENTS), tuple(first_stage(query)),
            tokens=tuple(range(10, 10 + K)), cut=tuple(place % 4 == 0 for place in range(K)),
        )
        for query in QUERIES
    )  # fmt: skip
    return ModelScores(model, ModelInfo(name=model, max_length=512), queries, len(QUERIES) * K, 0, 0, again)


def run_of(text: str, variant: Variant = MODEL) -> dict[str, tuple[str, ...]]:
    return cascaded(cascade_of(text, MODELS, K), {name: scores(name) for name in MODELS}, variant)[0]


@pytest.fixture
def fleet() -> InMemoryFleet:
    fleet = InMemoryFleet()
    for model in MODELS:
        fleet.serve(model, partial(logit, model))
    return fleet


@pytest.mark.parametrize(
    "fusion",
    [{"fusion": "none"}, {"fusion": "zscore", "fusion_weight": 0.5}, {"fusion": "rrf", "fusion_weight": 2.0},
     {"fusion": "weighted", "fusion_weight": 0.0}, {"fusion": "weighted"}],
)  # fmt: skip
@pytest.mark.parametrize("text", ["small>big@5", "small>big", "big > small@7 > huge@3", "small>big@3>huge@6"])
def test_the_order_is_that_of_a_request_with_stages(fleet: InMemoryFleet, text: str, fusion: dict[str, Any]) -> None:
    method, weight = fusion["fusion"], fusion.get("fusion_weight", 1.0)
    run = run_of(text, MODEL if method == "none" else Variant(method, weight))
    stages = [
        {"model": each.model} | ({} if each.keep is None else {"keep": each.keep})
        for each in cascade_of(text, MODELS, K).stages
    ]
    with fleet.client() as client:
        if method == "weighted":
            # The ratio that a fleet learns from whole lists is the one that a row's order rests on.
            for query in QUERIES:
                for model in MODELS:
                    client.rerank(query, DOCUMENTS, model=model, scores=first_stage(query), **fusion)
        # The first stage goes on learning from these, so of `weighted` the first few alone rest on the same ratio.
        for query in QUERIES[:5] if method == "weighted" else QUERIES:
            answer = client.rerank(query, DOCUMENTS, stages=stages, scores=first_stage(query), **fusion)
            assert [DOCUMENTS[each.index] for each in answer.results] == list(run[query])
            if method == "weighted":
                assert answer.fusion is not None
                assert answer.fusion.applied == "weighted"


def timed(latencies_ms: tuple[float, ...]) -> Again:
    asked = QUERIES[: len(latencies_ms)]
    return Again(dict.fromkeys(asked, (0.0,) * K) | {"empty": ()}, latencies_ms)


def test_its_times_are_the_first_models_and_a_share_of_the_seconds() -> None:
    small, big = scores("small", timed((10.0, 20.0))), scores("big", timed((100.0, 200.0)))
    _, cost = cascaded(cascade_of("small>big@3", MODELS, K), {"small": small, "big": big}, MODEL)
    run = run_of("small>big")
    assert cost.speed is not None
    assert (cost.speed.computed, cost.speed.pairs) == (True, 2 * K)
    # The share of a document's tokens is that of its place in the list.
    best = [run_of("small>big@3")[query][:3] for query in QUERIES[:2]]
    share = [sum(10 + DOCUMENTS.index(each) for each in documents) / sum(range(10, 10 + K)) for documents in best]
    assert cost.speed.latencies_ms == pytest.approx([10 + 100 * share[0], 20 + 200 * share[1]])
    assert cost.speed.pairs_per_s == pytest.approx(2 * K / (sum(cost.speed.latencies_ms) / 1000))
    # Where all go on, it is the sum of both.
    _, whole = cascaded(cascade_of("small>big", MODELS, K), {"small": small, "big": big}, MODEL)
    assert whole.speed is not None
    assert whole.speed.latencies_ms == pytest.approx([110.0, 220.0])
    assert whole.cut == pytest.approx(0.25)
    assert len(run) == len(QUERIES)


def test_without_times_or_tokens_nothing_is_made_up() -> None:
    cascade = cascade_of("small>big@3", MODELS, K)
    _, cost = cascaded(cascade, {"small": scores("small", timed((10.0,))), "big": scores("big")}, MODEL)
    assert cost.speed is None
    bare = {
        name: replace(each, queries=tuple(replace(query, tokens=(), cut=()) for query in each.queries))
        for name in ("small", "big")
        for each in [scores(name, timed((12.0,)))]
    }
    _, cost = cascaded(cascade, bare, MODEL)
    assert cost.cut is None
    assert cost.speed is not None
    assert cost.speed.latencies_ms == pytest.approx([12.0 + 12.0 * 3 / K])


def test_a_query_without_candidates_has_an_empty_order() -> None:
    models = {
        name: replace(each, queries=(*each.queries, ScoredQuery("empty", (), (), ())))
        for name in ("small", "big")
        for each in [scores(name, timed((1.0,)))]
    }
    run, cost = cascaded(cascade_of("small>big@3", MODELS, K), models, Variant("weighted", 1.0))
    assert run["empty"] == ()
    assert cost.speed is not None
    assert len(cost.speed.latencies_ms) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no model '' is known here"),
        ("small", "two models or more expected, as in 'small>big@20', in quotes: the shell takes > for a redirection"),
        (">".join(["small"] * 17), "16 models at most; here are 17"),
        ("small>bgi@5", "no model 'bgi' is known here, but small, big, huge; did you mean big?"),
        ("small>", "no model '' is known here"),
        ("small>big@", "'' is no number of candidates"),
        ("small>big@auto", "'auto' is no number of candidates"),
        ("small>big@0", "'0' is no number of candidates"),
        ("small>big@-3", "'-3' is no number of candidates"),
        ("small>big@1.5", "Without @ a model scores all"),
        ("small>big@13", "13 is more than the 12 candidates of --k"),
        ("small@5>big@3", "the first model scores all candidates"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        cascade_of(text, MODELS, K)
    assert refused.value.message.startswith(f"--cascade {text!r}: ")
    assert said in refused.value.message


def test_a_row_is_called_alike_however_it_was_written() -> None:
    assert cascade_of(" small>big @ 5 > huge", MODELS, K).name == "small > big@5 > huge"
