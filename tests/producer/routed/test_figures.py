"""Counts of routed requests: what is counted, what is not the model's fault, and what a rollout reads of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from rerank_producer._dispatch.routes.ended import RoutedRequest
from rerank_producer.gateway.watch.latency import bucket_of
from rerank_producer.routed.figures import NOT_THE_MODELS, Figures, RoutedCounts, read_figures
from rerank_shared.keys import ROUTED_TTL_S, Keys
from rerank_shared.redis.connections import connect_async
from rerank_shared.settings import Settings


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    opened = connect_async(settings)
    yield opened
    await opened.aclose()


def ended(
    outcome: str = "complete", model: str = "a|b", job_class: str = "interactive", run_pairs: int = 20, version: int = 3
) -> RoutedRequest:
    return RoutedRequest("search", version, model, job_class, outcome, run_pairs, 0.1)


async def test_all_processes_add_up_by_version_and_model(client: redis.asyncio.Redis, keys: Keys) -> None:
    one, other = RoutedCounts(keys), RoutedCounts(keys)
    for counts in (one, other):
        counts.observe(ended())
        counts.observe(ended("deadline"))
        counts.observe(ended(model="b"))
        counts.observe(ended(version=4))
        await counts.flush(client)
        assert not counts.pending
    answer: Any = await client.hgetall(keys.routed("search", 3))
    found = read_figures(answer, "a|b")
    assert found.outcomes == {"complete": 2, "deadline": 2}
    assert found.seconds == {"11-25": {bucket_of(0.1): 2}}
    assert (found.requests, found.failed, found.error_share) == (4, 2, 0.5)
    assert read_figures(answer, "b").requests == 2
    assert read_figures(answer, "a") == Figures()
    assert 0 < await client.ttl(keys.routed("search", 3)) <= ROUTED_TTL_S


@pytest.mark.parametrize("outcome", sorted(NOT_THE_MODELS))
def test_what_is_not_the_models_fault_is_not_counted(keys: Keys, outcome: str) -> None:
    counts = RoutedCounts(keys)
    counts.observe(ended(outcome))
    assert not counts.pending


@pytest.mark.parametrize("request_", [ended(run_pairs=0), ended(job_class="bulk"), ended("partial")])
async def test_only_the_duration_of_scored_interactive_answers_counts(
    client: redis.asyncio.Redis, keys: Keys, request_: RoutedRequest
) -> None:
    counts = RoutedCounts(keys)
    counts.observe(request_)
    await counts.flush(client)
    answer: Any = await client.hgetall(keys.routed("search", 3))
    found = read_figures(answer, "a|b")
    assert (found.requests, found.seconds) == (1, {})


def test_fields_that_can_not_be_read_count_as_absent() -> None:
    fields = {b"complete|a": b"2", b"partial|a": b"many", b"9-9/1|a": b"1", b"1-10/999|a": b"1", b"lost|a": b"-1"}
    assert read_figures(fields, "a") == Figures({"complete": 2}, {})
