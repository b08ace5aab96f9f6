"""The thread behind the callers on a real server: what it takes, what it turns away, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
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
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.threads import NewThreads
from support.waiting import wait_until

TESTS = Path(__file__).parents[2]
ROUTE = read_route("search", {"shares": {"live": 1}, "shadow": {"new": 1}})


def sampled() -> Sampled:
    """A request that the live model answered; nobody serves its shadow."""
    request = parse_request("q", ["one", "two"])
    ranking = Ranking([Score(1.0, 5, False), Score(2.0, 5, False)], [1, 0], True, None)
    return Sampled(request, ROUTE, "live", "new", ranking, None)


@pytest.fixture
def shadows(settings: Settings) -> Iterator[Shadows]:
    pipeline = RequestPipeline(settings)
    found = shadows_behind(pipeline).get()
    yield found
    found.close()


@pytest.fixture
def server_side(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as connected:
        yield connected


def figures(server_side: redis.Redis, keys: Keys) -> ShadowFigures:
    answer: Any = server_side.hgetall(keys.shadowed("search", 0))
    return read_figures(answer).get(Models("live", "new"), ShadowFigures())


def test_nothing_runs_until_a_request_is_handed_on(
    shadows: Shadows, server_side: redis.Redis, keys: Keys, new_threads: NewThreads
) -> None:
    assert new_threads() == []
    shadows.hand_on(sampled())
    assert new_threads() == ["rerank-shadows"]
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
    shadows: Shadows, server_side: redis.Redis, keys: Keys, new_threads: NewThreads
) -> None:
    shadows.hand_on(sampled())
    wait_until(lambda: figures(server_side, keys).sampled == 1, "the request is told")
    shadows.close()
    wait_until(lambda: not new_threads(), "the thread has ended")
    shadows.hand_on(sampled())
    shadows.close()
    assert new_threads() == []
    assert figures(server_side, keys).sampled == 1


def test_what_is_under_way_is_dropped_by_close_and_told(shadows: Shadows, server_side: redis.Redis, keys: Keys) -> None:
    for _ in range(10):
        shadows.hand_on(sampled())
    shadows.close()
    assert figures(server_side, keys).sampled == 10


def test_a_server_that_is_away_costs_nobody_anything(namespace: str, new_threads: NewThreads) -> None:
    settings = load_settings(redis_url="redis://127.0.0.1:1/0", namespace=namespace)
    pipeline = RequestPipeline(settings)
    away = shadows_behind(pipeline).get()
    for _ in range(10):
        away.hand_on(sampled())
    away.close()
    wait_until(lambda: not new_threads(), "the thread has ended")


def test_of_a_pipeline_that_is_dropped_no_thread_is_left(
    settings: Settings, server_side: redis.Redis, keys: Keys, new_threads: NewThreads
) -> None:
    pipeline = RequestPipeline(settings)
    shadows_behind(pipeline).get().hand_on(sampled())
    assert new_threads() == ["rerank-shadows"]
    wait_until(lambda: figures(server_side, keys).sampled == 1, "the request is told")
    del pipeline
    wait_until(lambda: not new_threads(), "the thread has ended")


PROGRAM = """
import os, resource, sys
from producer.dispatch.test_shadows_behind import sampled
from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._dispatch.shadow.background import shadows_behind
from rerank_shared.settings import load_settings

pipeline = RequestPipeline(load_settings())
shadows = shadows_behind(pipeline).get()
request, spare = sampled(), []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
while len(spare) < 64:
    try:
        spare.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
shadows.hand_on(request)
shadows.hand_on(request)
shadows.close()
"""


def test_a_process_that_may_open_no_more_files_disturbs_no_caller(settings: Settings) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=TESTS, env=bare_environ() | to_environ(settings),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
