"""What a request becomes: limits, hits and misses, the job, and where its text travels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.echo_worker import identity_of
from rerank_producer._request.plan import (
    RequestPlan,
    check_tokenizer,
    effective_max_length,
    parse,
    prepare,
    same_scores,
    ttl_s,
    wait_ms,
    without_hits,
)
from rerank_shared.contract.messages import Score, ScoringIdentity
from rerank_shared.errors import InvalidRequest
from rerank_shared.pools import Pool
from rerank_shared.routing.route import Target
from rerank_shared.settings import Settings, load_settings

# Made without the environment, which tests are cut off from only while they run.
SETTINGS = Settings.model_construct()
IDENTITY = identity_of(SETTINGS)
KNOWN = st.lists(st.none() | st.floats(-20, 20).map(lambda logit: Score(logit, 9, False)), max_size=40)


def plan_of(
    documents: list[Any],
    scores: list[Score | None] | None = None,
    *,
    identity: ScoringIdentity | None = IDENTITY,
    settings: Settings = SETTINGS,
    deadline_at: float = 2_000.0,
    **options: Any,
) -> RequestPlan:
    request = parse(settings, "a query", documents, options)
    return prepare(
        request,
        target=Target("a model"),
        pool=None if identity is None else Pool("ab", identity, 1),
        max_length=effective_max_length(request, settings, identity),
        scores=scores,
        submitted_at=1_000.0,
        deadline_at=deadline_at,
    )


@given(KNOWN)
def test_every_document_is_a_hit_or_a_miss_once(scores: list[Score | None]) -> None:
    texts = [f"text {number}" for number in range(len(scores))]
    stored = plan_of(texts, scores).stored
    assert sorted([*stored.hits, *stored.misses]) == list(range(len(scores)))
    assert stored.hits == {index: score for index, score in enumerate(scores) if score is not None}


@given(KNOWN)
def test_a_request_without_its_hits_is_another_job_for_all_documents(scores: list[Score | None]) -> None:
    plan = plan_of(["text"] * len(scores), scores)
    whole = without_hits(plan, Pool("cd", IDENTITY, 1))
    assert whole.stored.job_id != plan.stored.job_id
    assert (whole.stored.hits, whole.stored.misses) == ({}, tuple(range(len(scores))))
    assert (plan.stored.pool, whole.stored.pool) == ("ab", "cd")
    assert whole.contents == plan.contents


def test_cache_that_was_not_asked_leaves_all_to_the_worker() -> None:
    stored = plan_of(["a", "b"], None).stored
    assert (stored.hits, stored.misses) == ({}, (0, 1))


def test_ids_and_metadata_stay_at_home_and_in_order() -> None:
    plan = plan_of([{"text": "a", "id": "x"}, "b", {"text": "c", "metadata": {"n": 1}}], top_n=2)
    assert plan.stored.ids == ("x", None, None)
    assert plan.metadata == [None, None, {"n": 1}]
    assert plan.stored.top_n == 2


def test_ids_of_another_tokenizer_are_refused_as_soon_as_the_model_s_is_known() -> None:
    documents = [{"token_ids": [1]}]
    right = parse(SETTINGS, "q", documents, {"tokenizer_digest": IDENTITY.tokenizer_digest})
    wrong = parse(SETTINGS, "q", documents, {"tokenizer_digest": "b" * 64})
    check_tokenizer(right, IDENTITY)
    check_tokenizer(wrong, None)
    with pytest.raises(InvalidRequest, match=r"tokenizer_digest: b{64} .* a{64}"):
        check_tokenizer(wrong, IDENTITY)


@pytest.mark.parametrize(("wanted_s", "expected"), [(-5.0, 1), (0.0, 1), (1.2, 2), (1e300, 366 * 86_400)])
def test_life_times_are_those_that_redis_accepts(wanted_s: float, expected: int) -> None:
    assert ttl_s(wanted_s) == expected


@pytest.mark.parametrize(
    ("asked", "default", "expected"),
    [(None, None, 512), (None, 256, 256), (None, 2_000, 512), (64, 256, 64), (512, None, 512)],
)
def test_pairs_are_cut_to_request_then_settings_then_model(
    asked: int | None, default: int | None, expected: int
) -> None:
    settings = load_settings(max_length=default)
    request = parse(settings, "q", ["a"], {"max_length": asked})
    assert effective_max_length(request, settings, IDENTITY) == expected


def test_more_than_the_model_allows_is_refused_naming_the_limit() -> None:
    request = parse(SETTINGS, "q", ["a"], {"max_length": 513})
    with pytest.raises(InvalidRequest, match="max_length: 513 is beyond the 512 tokens"):
        effective_max_length(request, SETTINGS, IDENTITY)
    assert effective_max_length(request, SETTINGS, None) == 513


def test_more_documents_than_settings_allow_are_refused() -> None:
    settings = load_settings(max_documents=2)
    assert len(parse(settings, "q", ["a", "b"], {}).documents) == 2
    with pytest.raises(InvalidRequest, match=r"documents: 3 are more than the 2 .*RERANK_MAX_DOCUMENTS"):
        parse(settings, "q", ["a", "b", "c"], {})


def test_each_class_has_its_own_patience() -> None:
    settings = load_settings(default_deadline_ms=70, bulk_deadline_ms=90)
    waits = [
        wait_ms(parse(settings, "q", ["a"], options), settings)
        for options in ({}, {"job_class": "bulk"}, {"deadline_ms": -1.0, "job_class": "bulk"})
    ]
    assert waits == [70, 90, -1.0]


def test_only_the_activation_leaves_scores_the_same() -> None:
    other = identity_of(SETTINGS, digest="f" * 64)
    assert not same_scores(IDENTITY, other)
    assert same_scores(IDENTITY, replace(IDENTITY, activation="identity"))
