"""Counts of a client's routed requests: both clients write them behind their callers, and an outage delays nobody."""

from __future__ import annotations

import multiprocessing
import threading
from typing import Any

import pytest

from producer.conftest import Echo
from producer.test_sync_client import texts
from rerank_dev.ports import free_port
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer._behind.routed_counts import CountsBehind
from rerank_producer._dispatch.routes.ended import RoutedRequest
from rerank_producer.routed.figures import Figures, read_figures
from rerank_shared.errors import ScoringFailed
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings
from support.queue.trips import counted
from support.threads import NewThreads
from support.waiting import wait_until

pytestmark = pytest.mark.integration
ENDED = RoutedRequest("search", 1, "m", "interactive", "complete", 3, 0.1)


@pytest.fixture
def route(echo: Echo, request: pytest.FixtureRequest) -> str:
    """A route of this test to the model that the echo worker serves."""
    name = f"route-{request.node.name}"[:60].replace("[", "-").replace("]", "")
    RouteStore(echo.client, echo.keys).set(read_route(name, {"shares": {echo.settings.model: 1}}))
    return name


def figures(echo: Echo, route: str) -> Figures:
    return read_figures(echo.client.hgetall(echo.keys.routed(route, 1)), echo.settings.model)


async def test_both_clients_count_together(echo: Echo, route: str) -> None:
    with RerankClient(echo.settings) as sync:
        sync.rerank("q of counts", texts(3), model=route, partial=False)
        with pytest.raises(ScoringFailed):
            sync.rerank("fail now", texts(3), model=route)
        sync.rerank("q of counts", texts(3), partial=False)
    async with AsyncRerankClient(echo.settings) as asynchronous:
        await asynchronous.rerank("another q of counts", texts(4), model=route, partial=False)
    found = figures(echo, route)
    assert found.outcomes == {"complete": 2, "failed": 1}
    assert sum(found.seconds["1-10"].values()) == 2


def test_counts_arrive_while_a_client_lives(echo: Echo, route: str, client: RerankClient) -> None:
    for expected in (1, 2):
        client.rerank("q", texts(3), model=route, partial=False)
        wait_until(lambda: figures(echo, route).requests == expected, "the request is counted")  # noqa: B023


def test_a_request_by_a_route_takes_no_more_trips(echo: Echo, route: str, server: EmbeddedServer) -> None:
    with counted(server) as trips:
        settings = load_settings(**(echo.settings.model_dump(exclude_none=True) | {"redis_url": trips.url}))
        with RerankClient(settings) as client:
            for model in (echo.settings.model, route):
                client.rerank("q of trips", texts(3), model=model, partial=False)
            client._routed.get().observe = lambda ended: None  # type: ignore[method-assign]
            wait_until(lambda: figures(echo, route).requests == 1, "the first is counted")
            by_name, by_route = (
                trips.during(lambda: client.rerank("q of trips", texts(3), model=model, partial=False))  # noqa: B023
                for model in (echo.settings.model, route)
            )
            assert by_route <= by_name


def test_a_closed_client_counts_again(echo: Echo, route: str) -> None:
    client = RerankClient(echo.settings)
    for expected in (1, 2):
        client.rerank("q", texts(3), model=route, partial=False)
        client.close()
        assert figures(echo, route).requests == expected


def _asks(settings: Settings, client: RerankClient, route: str) -> None:
    client.rerank("q of a child", texts(3), model=route, partial=False)
    client.close()


def test_a_child_counts_its_own(echo: Echo, route: str) -> None:
    with RerankClient(echo.settings) as client:
        client.rerank("q of a parent", texts(3), model=route, partial=False)
        wait_until(lambda: figures(echo, route).requests == 1, "the parent's is counted")
        child = multiprocessing.get_context("fork").Process(target=_asks, args=(echo.settings, client, route))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    assert figures(echo, route).requests == 2


def test_an_outage_loses_counts_and_raises_nothing(new_threads: NewThreads) -> None:
    counts = CountsBehind(load_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    for _ in range(100):
        counts.observe(ENDED)
    counts.close()
    counts.observe(ENDED)
    assert new_threads() == []


def test_a_thread_without_work_ends_and_the_next_count_starts_another(
    settings: Settings, keys: Keys, new_threads: NewThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank_producer._behind.routed_counts.IDLE_S", 0.1)
    counts = CountsBehind(settings)
    with connect(settings) as client:
        for expected in (1, 2):
            counts.observe(ENDED)
            wait_until(lambda: not new_threads(), "the thread has ended")
            assert read_figures(client.hgetall(keys.routed("search", 1)), "m").requests == expected


def test_counts_go_on_after_an_outage(settings: Settings, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, away = CountsBehind(settings), threading.Event()
    taken = counts._taken

    def refused(redis: Any) -> Any:
        pipe = taken(redis)
        if not away.is_set():
            away.set()
            pipe.reset()
            pipe.execute_command("NOSUCH")
        return pipe

    monkeypatch.setattr(counts, "_taken", refused)
    counts.observe(ENDED)
    assert away.wait(20)
    counts.observe(ENDED)
    counts.close()
    with connect(settings) as client:
        assert read_figures(client.hgetall(keys.routed("search", 1)), "m").requests == 1


def test_where_no_thread_can_start_nothing_is_raised(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    counts = CountsBehind(settings)
    counts.observe(ENDED)
    counts.close()
