"""Redis is away: at the start, in mid-request, with and without what it held. Each test has a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import DeadlineExceeded, QueueUnavailable
from rerank_shared.settings import Settings, load_settings
from support.fleet import TestFleet
from support.jobs import passages
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture(params=[True, False], ids=["persistent", "empty-after-restart"])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(persistent=request.param) as running:
        yield running


def test_server_back_before_the_deadline_gives_the_answer(
    start_fleet: StartFleet, settings: Settings, server: EmbeddedServer
) -> None:
    fleet = start_fleet()
    with RerankClient(settings) as client, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.rerank, "which rooms?", passages(250), deadline_ms=90_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        server.kill()
        server.restart()
        response = pending.result(timeout=100)
    assert response.complete
    assert fleet.processes[0].poll() is None
    with RerankClient(settings) as client:
        # The process may be at the copy that was sent before the server was lost.
        assert client.rerank("again?", passages(2), deadline_ms=80_000, partial=False).complete


def test_queued_job_survives_or_is_sent_again(
    start_fleet: StartFleet, settings: Settings, server: EmbeddedServer
) -> None:
    """No worker has seen the job when the server dies; without persistence only the client still knows of it."""
    with RerankClient(settings) as client, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.rerank, "which rooms?", passages(3), deadline_ms=40_000)
        with TestFleet(settings, Path()) as watcher:
            wait_until(lambda: watcher.client.llen(watcher.keys.queue_list("interactive")) == 1, "the job is queued")
        server.kill()
        server.restart()
        start_fleet(wait=False)
        assert pending.result(timeout=50).complete


def test_server_gone_for_good_is_told_at_the_deadline(
    start_fleet: StartFleet, settings: Settings, server: EmbeddedServer
) -> None:
    fleet = start_fleet(refuse=False)
    # More than can be done in time, so that the server goes in the midst of it.
    with RerankClient(settings.model_copy(update={"refuse": False})) as client, ThreadPoolExecutor(2) as pool:
        strict = pool.submit(client.rerank, "which rooms?", passages(1500), deadline_ms=10_000, partial=False)
        lenient = pool.submit(client.rerank, "which rooms?", passages(1500), deadline_ms=10_000)
        wait_until(lambda: fleet.held_jobs() >= 1, "the worker has begun")
        server.kill()
        with pytest.raises((QueueUnavailable, DeadlineExceeded)):
            strict.result(timeout=40)
        response = lenient.result(timeout=40)
    assert not response.complete
    assert [result.index for result in response.results] == list(range(1500))


def test_no_server_at_all_is_told_at_once_and_how_to_mend_it() -> None:
    settings = load_settings(redis_url="unix:///nowhere/redis.sock")
    with RerankClient(settings) as client, pytest.raises(QueueUnavailable, match="rerank-fleet server"):
        client.rerank("q", ["d"], deadline_ms=60_000)


async def test_no_server_at_all_is_told_to_asyncio_callers_too() -> None:
    settings = load_settings(redis_url="redis://127.0.0.1:1/0")
    async with AsyncRerankClient(settings) as client:
        with pytest.raises(QueueUnavailable, match="RERANK_REDIS_URL"):
            await client.rerank("q", ["d"], deadline_ms=60_000)
