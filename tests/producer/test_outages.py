"""The server is away or comes back. Each test has a server of its own, and needs no worker."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.echo_worker import announce
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as running:
        yield running


def queued(settings: Settings) -> int:
    with connect(settings) as client:
        return int(client.llen(Keys(settings.namespace).queue_list("interactive")))


def test_client_with_old_connections_goes_on_after_a_restart(server: EmbeddedServer, settings: Settings) -> None:
    with RerankClient(settings) as client:
        client.rerank("q", ["a"], deadline_ms=100)
        client.cancel("nobody's")
        server.restart()
        assert queued(settings) == 0
        client.cancel("nobody's")
        assert not client.rerank("q", ["a"], deadline_ms=100).complete
        # Once, or again if the listener found its line broken only after that.
        assert queued(settings) in (1, 2)


async def test_asyncio_client_with_old_connections_as_well(server: EmbeddedServer, settings: Settings) -> None:
    async with AsyncRerankClient(settings) as client:
        await client.rerank("q", ["a"], deadline_ms=100)
        server.restart()
        assert not (await client.rerank("q", ["a"], deadline_ms=100)).complete
        assert queued(settings) in (1, 2)


async def test_a_refused_farewell_does_not_keep_an_asyncio_client_open(
    server: EmbeddedServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = AsyncRerankClient(settings)
    with connect(settings) as admin:
        announce(admin, settings)
        await client.rerank("q", ["a"], deadline_ms=100)
        admin.execute_command("ACL", "SETUSER", "default", "-@scripting")
        await client.close()
        gc.collect()
        assert "never retrieved" not in caplog.text
        await asyncio.to_thread(wait_until, lambda: len(admin.client_list()) == 1, "its connections are closed")


async def test_job_that_the_server_forgot_is_sent_again_when_it_is_back(
    server: EmbeddedServer, settings: Settings
) -> None:
    async with AsyncRerankClient(settings) as client:
        pending = asyncio.create_task(client.rerank("q", ["a"], deadline_ms=60_000))
        await asyncio.to_thread(wait_until, lambda: queued(settings) == 1, "the job is queued")
        server.kill()
        server.restart()
        await asyncio.to_thread(wait_until, lambda: queued(settings) == 1, "the job is queued again")
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending


def test_server_lost_while_waiting_is_told_unless_a_partial_answer_will_do(
    server: EmbeddedServer, settings: Settings
) -> None:
    with RerankClient(settings) as client, ThreadPoolExecutor(2) as pool:
        strict = pool.submit(client.rerank, "q", ["a"], deadline_ms=1_500, partial=False)
        lenient = pool.submit(client.rerank, "q", ["a"], deadline_ms=1_500)
        wait_until(lambda: queued(settings) == 2, "both jobs are queued")
        server.kill()
        with pytest.raises(QueueUnavailable, match="could not be received"):
            strict.result()
        assert not lenient.result().complete


@pytest.mark.timeout(30)
def test_paused_server_is_told_long_before_the_deadline(server: EmbeddedServer, settings: Settings) -> None:
    """The test's own time limit is what would fail; the wait is that of two unanswered commands."""
    with RerankClient(settings) as client:
        client.rerank("q", ["a"], deadline_ms=100)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(QueueUnavailable, match="does not answer in time"):
                client.rerank("q", ["b"], deadline_ms=600_000)
        finally:
            os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_every_call_says_that_there_is_no_server(url: str) -> None:
    settings = load_settings(redis_url=url)
    with RerankClient(settings) as client:
        calls: list[Callable[[], object]] = [
            lambda: client.rerank("q", ["a"]),
            lambda: client.submit("q", ["a"]),
            lambda: client.collect("a"),
            lambda: client.cancel("a"),
        ]
        for call in calls:
            with pytest.raises(QueueUnavailable, match="rerank-fleet server"):
                call()


def test_server_that_wants_a_password_is_told_as_such(server: EmbeddedServer, settings: Settings) -> None:
    with connect(settings) as admin:
        admin.config_set("requirepass", "secret")
        with RerankClient(settings) as client, pytest.raises(QueueUnavailable, match="user name or password"):
            client.rerank("q", ["a"], deadline_ms=5_000)
