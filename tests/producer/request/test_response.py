"""How scores become an answer: no document lost or doubled, best first, unscored last, cut after sorting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.echo_worker import identity_of
from rerank_producer._request.merge import Scored
from rerank_producer._request.ranking import ranking_of
from rerank_producer._request.response import build_response, with_swap
from rerank_shared.contract.activation import sigmoid
from rerank_shared.contract.messages import Score, ScoringIdentity, Stages, StoredRequest
from rerank_shared.contract.schemas import RerankResponse, Timings
from rerank_shared.contract.swaps import swap_rank, swapped
from rerank_shared.errors import UnsupportedVersion
from rerank_shared.settings import Settings

IDENTITY = identity_of(Settings.model_construct())
# Few different logits, so that ties are common.
SCORES = st.sampled_from([-30.0, -1.5, -0.0, 0.0, 0.25, 2.0, 40.0]).map(lambda logit: Score(logit, 10, logit > 1))
DOCUMENTS = st.lists(st.tuples(st.booleans(), st.none() | SCORES), max_size=30)


def plan_of(count: int, hits: dict[int, Score], top_n: int | None = None, **changes: Any) -> StoredRequest:
    fields: dict[str, Any] = {
        "job_id": "job",
        "job_class": "interactive",
        "model": "a model",
        "ids": tuple(f"id-{index}" for index in range(count)),
        "hits": hits,
        "misses": tuple(index for index in range(count) if index not in hits),
        "top_n": top_n,
        "submitted_at": 1.0,
        "deadline_at": 2.0,
        "identity": IDENTITY,
    }
    return StoredRequest(**(fields | changes))


def scored_of(scores: list[Score | None], identity: ScoringIdentity = IDENTITY) -> Scored:
    return Scored(tuple(scores), identity, ("worker",), Stages(), (3, 4))


def respond(plan: StoredRequest, scored: Scored | None = None, **options: Any) -> RerankResponse:
    return build_response(plan, scored, ranking_of(plan, scored), timings=Timings(), **options)


@given(DOCUMENTS, st.none() | st.integers(1, 35))
def test_documents_are_ranked_once_each(documents: list[tuple[bool, Score | None]], top_n: int | None) -> None:
    hits = {index: score for index, (cached, score) in enumerate(documents) if cached and score is not None}
    new = [score for index, (_, score) in enumerate(documents) if index not in hits]
    response = respond(plan_of(len(documents), hits, top_n), scored_of(new))
    results = response.results

    expected = sorted(
        range(len(documents)),
        key=lambda i: (documents[i][1] is None, -(documents[i][1] or Score(0, 0, False)).logit, i),
    )
    assert [result.index for result in results] == expected[:top_n]
    assert response.complete == all(score is not None for _, score in documents)
    for result in results:
        score = documents[result.index][1]
        assert result.id == f"id-{result.index}"
        assert result.cached == (result.index in hits)
        assert result.scored == (score is not None)
        assert result.logit == (None if score is None else score.logit)
        assert result.relevance_score == (None if score is None else sigmoid(score.logit))
        assert result.truncated == (score is not None and score.truncated)
    assert response.usage.pairs_cached == len(hits)
    assert response.usage.pairs_run == sum(score is not None for score in new)
    assert response.usage.tokens == 10 * response.usage.pairs_run


@given(DOCUMENTS)
def test_without_an_outcome_only_the_cache_speaks(documents: list[tuple[bool, Score | None]]) -> None:
    hits = {index: score for index, (cached, score) in enumerate(documents) if cached and score is not None}
    response = respond(plan_of(len(documents), hits))
    assert sorted(result.index for result in response.results) == list(range(len(documents)))
    assert {result.index for result in response.results if result.scored} == set(hits)
    assert response.complete == (len(hits) == len(documents))
    assert (response.workers, response.batch_pairs) == ([], [])


def test_model_is_the_one_that_scored() -> None:
    other = replace(IDENTITY, model="another", model_digest="f" * 64, precision="fp32", max_length=64)
    assert respond(plan_of(1, {}), scored_of([Score(1, 1, False)], other)).model.model_dump() == {
        "name": "another",
        "digest": "f" * 64,
        "precision": "fp32",
        "max_length": 64,
        "activation": "sigmoid",
    }
    assert respond(plan_of(1, {}, identity=None)).model.name == "a model"
    assert respond(plan_of(1, {0: Score(1, 1, False)})).model.digest == "e" * 64


def test_activation_is_the_artefacts() -> None:
    identity = replace(IDENTITY, activation="identity")
    assert respond(plan_of(1, {}), scored_of([Score(7.5, 1, False)], identity)).results[0].relevance_score == 7.5


def test_metadata_follows_its_document() -> None:
    hits = {0: Score(-1, 1, False), 1: Score(1, 1, False), 2: Score(0, 1, False)}
    response = respond(plan_of(3, hits), metadata=[{"n": 0}, None, {"n": 2}])
    assert [result.metadata for result in response.results] == [None, {"n": 2}, {"n": 0}]


def test_activation_of_a_newer_release_is_told() -> None:
    newer = replace(IDENTITY, activation="softplus")
    with pytest.raises(UnsupportedVersion, match="softplus"):
        respond(plan_of(1, {}), scored_of([Score(1, 1, False)], newer))


@pytest.mark.parametrize("top_n", [None, 5])
def test_a_swap_moves_two_neighbours_with_their_scores(top_n: int | None) -> None:
    """The id decides; an answer that is too short stays as it is, and so does one of a bulk run."""
    scored = scored_of([Score(float(-index), 10, False) for index in range(10)])
    plain = respond(plan_of(10, {}, top_n), scored)
    assert plain.experiment is None
    for number in range(50):
        plan = plan_of(10, {}, top_n, job_id=f"request-{number}")
        rank, response = swap_rank(plan.job_id, 1.0) or 0, respond(plan, scored, swap_share=1.0)
        assert respond(replace(plan, job_class="bulk"), scored, swap_share=1.0).experiment is None
        if rank >= len(plain.results):
            assert (response.results, response.experiment) == (plain.results, None)
            continue
        assert response.experiment is not None
        assert response.experiment.ranks == (rank, rank + 1)
        assert response.results == swapped(plain.results, rank)
        assert sorted(response.results, key=lambda each: each.index) == sorted(plain.results, key=lambda e: e.index)


def test_another_server_s_answer_is_swapped_by_the_same_rule() -> None:
    scored = scored_of([Score(float(-index), 10, False) for index in range(10)])
    for number in range(20):
        plan = plan_of(10, {}, job_id=f"request-{number}")
        plain = respond(plan, scored)
        assert with_swap(plain, 1.0) == respond(plan, scored, swap_share=1.0)
        assert with_swap(plain, 0.0) is plain
