"""The thread behind the callers on a real server: what it takes, what it turns away, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._dispatch.shadow.background import MOST_OPEN, Shadows, shadows_behind
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_producer._request.ranking import Ranking
from rerank_shared.contract.messages import Score
from rerank_shared.contract.schemas import parse_request
from rerank_shared.drift.figures import Models, ShadowFigures, read_figures
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings
from support.waiting import wait_until

ROUTE = read_route("search", {"shares": {"live": 1}, "shadow": {"new": 1}})


def sampled() -> Sampled:
    """A request that the live model answered; nobody serves its shadow."""
    request = parse_request("q", ["one", "two"])
    ranking = Ranking([Score(1.0, 5, False), Score(2.0, 5, False)], [1, 0], True, None)
    return Sampled(request, ROUTE, "live", "new", ranking, None)


@pytest.fixture
def shadows(settings: Settings) -> Iterator[Shadows]:
    found = shadows_behind(RequestPipeline(settings)).get()
    yield found
    found.close()


@pytest.fixture
def server_side(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as connected:
        yield connected


def figures(server_side: redis.Redis, keys: Keys) -> ShadowFigures:
    answer: Any = server_side.hgetall(keys.shadowed("search", 0))
    return read_figures(answer).get(Models("live", "new"), ShadowFigures())


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "rerank-shadows"]


def test_nothing_runs_until_a_request_is_handed_on(shadows: Shadows, server_side: redis.Redis, keys: Keys) -> None:
    assert running() == []
    shadows.hand_on(sampled())
    assert running() == ["rerank-shadows"]
    wait_until(lambda: figures(server_side, keys).dropped == {"no_workers": 1}, "the request is told")


def test_of_more_requests_than_may_be_open_the_newest_are_dropped(
    shadows: Shadows, server_side: redis.Redis, keys: Keys
) -> None:
    server_side.client_pause(800)
    for _ in range(MOST_OPEN + 20):
        shadows.hand_on(sampled())
    wait_until(lambda: figures(server_side, keys).sampled == MOST_OPEN + 20, "all are told")
    assert figures(server_side, keys).dropped["full"] == 20
    # Those before have made room.
    shadows.hand_on(sampled())
    wait_until(lambda: figures(server_side, keys).sampled == MOST_OPEN + 21, "one more is told")
    assert figures(server_side, keys).dropped["full"] == 20


def test_a_closed_one_takes_nothing_and_leaves_no_thread(
    shadows: Shadows, server_side: redis.Redis, keys: Keys
) -> None:
    shadows.hand_on(sampled())
    wait_until(lambda: figures(server_side, keys).sampled == 1, "the request is told")
    shadows.close()
    wait_until(lambda: not running(), "the thread has ended")
    shadows.hand_on(sampled())
    shadows.close()
    assert running() == []
    assert figures(server_side, keys).sampled == 1


def test_what_is_under_way_is_dropped_by_close_and_told(shadows: Shadows, server_side: redis.Redis, keys: Keys) -> None:
    for _ in range(10):
        shadows.hand_on(sampled())
    shadows.close()
    assert figures(server_side, keys).sampled == 10


def test_a_server_that_is_away_costs_nobody_anything(namespace: str) -> None:
    settings = load_settings(redis_url="redis://127.0.0.1:1/0", namespace=namespace)
    away = shadows_behind(RequestPipeline(settings)).get()
    for _ in range(10):
        away.hand_on(sampled())
    away.close()
    wait_until(lambda: not running(), "the thread has ended")
