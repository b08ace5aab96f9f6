"""How many round trips to the server a request takes, counted by a proxy between the two."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from producer.conftest import Echo, serve_echo
from producer.echo_worker import announce, score
from producer.test_sync_client import texts
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared import fleet
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.admission import LOAD_REMEMBERED_S
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import Settings, load_settings
from support.queue.trips import Trips, counted

pytestmark = pytest.mark.integration
FIRST, WARM, CACHED = 8, 3, 1
#: Connecting and subscribing, which the first request that waits does.
_LISTENING = 2


@pytest.fixture(scope="module")
def echo(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """A fleet of these tests alone: a job that another test left unanswered costs each request one more look."""
    settings = load_settings(redis_url=server.url, namespace=f"trips-{os.getpid()}")
    yield from serve_echo(settings, tmp_path_factory.mktemp("echo") / "worker.log")


@pytest.fixture
def trips(server: EmbeddedServer) -> Iterator[Trips]:
    with counted(server) as trips:
        yield trips


def through(trips: Trips, settings: Settings, database: int = 0, **changes: Any) -> Settings:
    """Return the settings of a client that reaches the server through the proxy."""
    url = f"{trips.url.removesuffix('0')}{database}"
    return load_settings(**(settings.model_dump(exclude_none=True) | {"redis_url": url} | changes))


@pytest.mark.parametrize("changes", [{}, {"single_flight": True}, {"inline_bytes": 0}, {"cache": False}], ids=str)
def test_a_first_request_takes_few_and_the_next_still_fewer(echo: Echo, trips: Trips, changes: dict[str, Any]) -> None:
    with RerankClient(through(trips, echo.settings, **changes)) as client:
        assert trips.during(lambda: client.rerank("q", texts(3), partial=False)) <= FIRST
        assert trips.connections == 2
        for _ in range(3):
            assert trips.during(lambda: client.rerank("q", texts(3), partial=False)) <= WARM
        assert trips.connections == 2


async def test_so_they_do_on_an_event_loop(echo: Echo, trips: Trips) -> None:
    async with AsyncRerankClient(through(trips, echo.settings)) as client:
        for most in (FIRST, WARM, WARM):
            before = trips.count
            await client.rerank("q", texts(3), partial=False)
            assert trips.count - before <= most
        assert trips.connections == 2


def test_parts_of_a_request_are_sent_together(trips: Trips, settings: Settings) -> None:
    """An idle fleet of four, by what the server says; nobody takes the parts, so the deadline ends the wait."""
    keys = Keys(settings.namespace)
    with connect(settings) as server:
        announce(server, settings)
        fleet.share_cost(server, keys, [settings.model], "p|h", SharedCost(CostParameters(9.0, 0.0, 0.0)))
        server.zadd(keys.workers, {f"worker-{number}": time.time() + 60 for number in range(3)})
        with RerankClient(through(trips, settings, refuse=False)) as client:
            client.rerank("q", texts(4), deadline_ms=0)
            # Look, send, and look once more at the deadline; then two that count the processes of its pools.
            assert trips.during(lambda: client.rerank("q", texts(4), deadline_ms=400)) == 3 + 2 + _LISTENING
            assert server.hlen(keys.waiting("interactive")) == 4


def test_what_is_cached_takes_one(echo: Echo, trips: Trips) -> None:
    documents = texts(3)
    echo.write_cache({("q", text): score("q", text) for text in documents})
    with RerankClient(through(trips, echo.settings)) as client:
        client.rerank("q", documents)
        assert trips.during(lambda: client.rerank("q", documents)) == CACHED


def test_a_submitted_request_takes_no_more(echo: Echo, trips: Trips) -> None:
    with RerankClient(through(trips, echo.settings)) as client:
        client.submit("q", texts(1))
        assert trips.during(lambda: client.submit("q", texts(1))) <= WARM


def test_another_database_costs_one_more_for_each_connection(settings: Settings, trips: Trips) -> None:
    with RerankClient(through(trips, settings, database=5)) as client:
        # Nobody serves it: the last trips look whether an answer came at the deadline, and who is alive.
        assert trips.during(lambda: client.rerank("q", ["a"], deadline_ms=100)) <= FIRST + 2
    with connect(through(trips, settings, database=5)) as server:
        server.flushdb()


def test_what_was_remembered_is_asked_for_beside_the_next_look(
    echo: Echo, trips: Trips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank_producer._dispatch.served_models.REMEMBERED_S", 0.0)
    monkeypatch.setattr("rerank_producer._dispatch.fleet_load.LOAD_REMEMBERED_S", 0.0)
    assert LOAD_REMEMBERED_S > 0
    with RerankClient(through(trips, echo.settings)) as client:
        client.rerank("q", texts(3), partial=False)
        # A busy machine may add a look for an answer that is late.
        assert min(trips.during(lambda: client.rerank("q", texts(3), partial=False)) for _ in range(3)) == 2
