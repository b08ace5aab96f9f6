"""On which terms a request is served: one budget of time from its first byte, and whom the fleet charges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_producer.apis.common.call import AskedFusion, RerankCall
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.request_limits import limits_of
from rerank_shared.keys import CacheScope
from rerank_shared.settings import Settings, load_settings

KEY = ApiKey("abcdefgh", "search", "shop", default_deadline_ms=400.0, max_documents=7)
HEADER = {"x-rerank-deadline-ms": "100"}


@pytest.fixture
def settings() -> Settings:
    return load_settings(default_deadline_ms=1_000, bulk_deadline_ms=9_000)


@pytest.mark.parametrize(
    ("key", "headers", "call", "whole_ms"),
    [
        (None, {}, RerankCall("q", []), 1_000),
        (None, {}, RerankCall("q", [], job_class="bulk"), 9_000),
        (KEY, {}, RerankCall("q", []), 400),
        (KEY, {}, RerankCall("q", [], deadline_ms=300), 300),
        (KEY, HEADER, RerankCall("q", [], deadline_ms=300), 100),
        (None, {}, RerankCall("q", [], deadline_ms=0), 0),
    ],
)
def test_the_nearest_word_counts_and_counts_from_the_start(
    settings: Settings, key: ApiKey | None, headers: dict[str, str], call: RerankCall, whole_ms: float
) -> None:
    limits = limits_of(key, headers, started=50.0)
    assert limits.left_ms(call, settings, 50.0, waits=True) == whole_ms
    assert limits.left_ms(call, settings, 50.25, waits=True) == whole_ms - 250


def test_nobody_is_waited_for_longer_than_the_fleet_s_longest_default(settings: Settings) -> None:
    limits = limits_of(None, {}, started=0.0)
    assert limits.left_ms(RerankCall("q", [], deadline_ms=1e15), settings, 0.0, waits=False) == 9_000


def test_a_key_s_patience_is_not_for_jobs_that_are_collected_later(settings: Settings) -> None:
    limits = limits_of(KEY, {}, started=0.0)
    assert limits.left_ms(RerankCall("q", [], job_class="bulk"), settings, 0.0, waits=False) == 9_000


@pytest.mark.parametrize(("in_body", "expected"), [(None, 700.0), (60.0, 60.0)])
def test_a_route_s_patience_counts_before_the_fleet_s(
    settings: Settings, in_body: float | None, expected: float
) -> None:
    limits = limits_of(None, {}, started=0.0)
    call = RerankCall("q", [], deadline_ms=in_body)
    assert limits.left_ms(call, settings, 0.0, waits=True, by_route=700.0) == expected


@pytest.mark.parametrize("of_key", ["fleet", "tenant"])
@pytest.mark.parametrize("asked", ["fleet", "tenant"])
def test_scores_are_a_tenant_s_own_where_key_or_request_says_so(of_key: CacheScope, asked: CacheScope) -> None:
    call = RerankCall("q", [], cache_scope=asked)
    whose = "tenant" if "tenant" in (of_key, asked) else "fleet"
    assert limits_of(replace(KEY, cache_scope=of_key), {}, 0.0).cache_scope(call) == whose
    assert limits_of(None, {}, 0.0).cache_scope(call) == asked


SCORED = RerankCall("q", ["d", "e"], fusion=AskedFusion(scores=[None, 2.0]))
BLENDING = replace(KEY, fusion="rrf", fusion_weight=0.5)


def test_a_request_says_itself_how_first_stage_scores_count() -> None:
    call = replace(SCORED, fusion=AskedFusion("zscore", weight=0.0, scores=[None, 2.0]))
    limits = limits_of(BLENDING, {}, 0.0)
    assert (limits.fusion(call), limits.fusion_weight(call)) == ("zscore", 0.0)


@pytest.mark.parametrize("call", [SCORED, RerankCall("q", ["d", {"text": "e", "score": 2}])])
def test_else_the_key_says_it_and_else_the_settings(call: RerankCall) -> None:
    limits = limits_of(BLENDING, {}, 0.0)
    assert (limits.fusion(call), limits.fusion_weight(call)) == ("rrf", 0.5)
    for key in (None, KEY):
        limits = limits_of(key, {}, 0.0)
        assert (limits.fusion(call), limits.fusion_weight(call)) == (None, None)


@pytest.mark.parametrize(
    "call",
    [
        RerankCall("q", ["d", "e"]),
        RerankCall("q", [{"text": "d", "score": None}]),
        replace(SCORED, fusion=AskedFusion(scores=[None, None])),
    ],
)
def test_a_key_s_fusion_is_for_requests_with_first_stage_scores(call: RerankCall) -> None:
    assert limits_of(BLENDING, {}, 0.0).fusion(call) is None


def test_only_without_keys_a_request_may_name_its_tenant() -> None:
    call = RerankCall("q", [], tenant="news")
    assert limits_of(None, {}, 0.0).tenant(call) == "news"
    assert limits_of(KEY, {}, 0.0).tenant(call) == "shop"


def test_documents() -> None:
    assert limits_of(KEY, {}, 0.0).max_documents == 7
    assert limits_of(None, {}, 0.0).max_documents is None
