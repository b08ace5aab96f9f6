"""A fleet whose server is found through Sentinels, with TLS and the users of `redis-acl`; and fail-overs under load."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import StartGateway
from rerank_dev.ports import free_port
from rerank_dev.sentinels import Watched, find_tls_server, watched
from rerank_ops.redis_acl import users
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect, connect_async
from rerank_shared.settings import Settings, load_settings
from support.fleet import TestFleet
from support.jobs import make_job, passages, send
from support.queue.roles import celery
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(300)]

PATIENT_MS = 60_000


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Watched]:
    if (binary := find_tls_server()) is None:
        pytest.skip("no redis-server with TLS on the PATH")
    lines = "\n".join(user.line(">secret") for user in users(Keys("sentinel")))
    with watched(binary, tmp_path, lines) as running:
        yield running


def settings_of(servers: Watched, role: str, *options: str) -> Settings:
    return load_settings(redis_url=servers.url(f"sentinel-{role}", "secret", *options), namespace="sentinel")


@pytest.fixture
def fleet(servers: Watched, tmp_path: Path) -> Iterator[TestFleet]:
    with TestFleet(settings_of(servers, "worker"), tmp_path) as running:
        running.start(wait=False)
        # Longer than a fleet usually gets: five servers have just started beside it.
        wait_until(lambda: running.state().workers, "the worker lives", bound_s=120)
        yield running


def test_every_part_works_through_sentinels_with_tls_and_users(
    servers: Watched, fleet: TestFleet, start_gateway: StartGateway
) -> None:
    client_settings = settings_of(servers, "client")
    with RerankClient(client_settings) as client:
        assert client.rerank("rooms?", passages(2), deadline_ms=PATIENT_MS, partial=False).complete
        client.cancel(client.submit("rooms?", passages(2)))

    async def ask() -> bool:
        async with AsyncRerankClient(client_settings) as client:
            return (await client.rerank("rooms?", passages(2), deadline_ms=PATIENT_MS)).complete

    assert asyncio.run(ask())
    with make_celery(client_settings) as app:
        job = make_job(client_settings, "who?", ["one", "two"])
        assert send(app, client_settings, job).get(timeout=60)["complete"]
    gateway = start_gateway(settings_of(servers, "gateway")).wait_ready()
    with gateway.client() as http:
        assert http.post("/v2/rerank", json={"query": "rooms?", "documents": ["one"]}).status_code == 200
    told = celery(settings_of(servers, "operator"), "inspect", "stats", "--timeout", "30", "-d", "rerank@test-0")
    assert (told.returncode, "rerank.score" in told.stdout) == (0, True), told
    assert "sentinel_" not in told.stdout
    assert "ssl_" not in told.stdout


def test_no_request_fails_while_another_server_takes_over(servers: Watched, fleet: TestFleet) -> None:
    """Steady load of both kinds of clients over the primary's death by SIGKILL."""
    stop = threading.Event()
    settings = settings_of(servers, "client")

    def ask(client: RerankClient, number: int) -> int:
        done = 0
        while not stop.is_set():
            answer = client.rerank(f"rooms {number}?", passages(3, words=5), deadline_ms=PATIENT_MS, partial=False)
            assert answer.complete
            done += 1
        return done

    with RerankClient(settings) as client, ThreadPoolExecutor(3) as pool:
        pending = [pool.submit(ask, client, number) for number in range(3)]
        time.sleep(1)
        old = servers.kill_primary()
        wait_until(lambda: servers.primary() != old, "the Sentinels name another primary")
        with connect(settings_of(servers, "worker")) as straight:
            wait_until(lambda: _writes(straight), "the new primary is written to")
        time.sleep(1)
        stop.set()
        assert all(each.result(timeout=90) > 0 for each in pending)
        assert client.rerank("rooms?", passages(2), deadline_ms=PATIENT_MS, partial=False).complete
    assert "Traceback" not in fleet.log()


def _writes(client: object) -> bool:
    try:
        return bool(client.set("sentinel:trial:writes", 1, ex=5))  # type: ignore[attr-defined]
    except Exception:
        return False


def test_a_request_without_patience_is_told_of_the_outage(servers: Watched) -> None:
    settings = settings_of(servers, "client").model_copy(update={"failover_s": 0.0})
    with RerankClient(settings) as client:
        # Both, so that none can be promoted while this request is on its way.
        for process in servers.servers.values():
            process.kill()
        with pytest.raises(QueueUnavailable) as told:
            client.rerank("rooms?", ["one"], deadline_ms=PATIENT_MS)
    assert told.value.reason in ("unreachable", "silent")
    assert "secret" not in told.value.message


def test_what_sentinels_refuse_is_told(servers: Watched) -> None:
    """A name that they do not know, and a password that is wrong; on threads and on an event loop."""
    unknown = servers.url().replace("/fleet/0", "/other/0")
    wrong = servers.url().replace("sentinel_password=ask", "sentinel_password=guess")
    # What those say that answer counts, also where the last one is away.
    gone = unknown.replace("/other/0", f",localhost:{free_port()}/other/0")
    nobody = re.sub(r"@[^/]*/", f"@localhost:{free_port()}/", servers.url())
    for url, reason, says in (
        (unknown, "unreachable", "no primary called other.* Set the name behind"),
        (gone, "unreachable", "no primary called other"),
        (wrong, "credentials", r"its Sentinel localhost:\d+ refuses the user name or password.* Set sentinel_username"),
        (nobody, "unreachable", r"its Sentinel localhost:\d+ can't be reached.* Look whether the Sentinels run"),
    ):
        with RerankClient(redis_url=url, failover_s=0) as client, pytest.raises(QueueUnavailable) as told:
            client.rerank("rooms?", ["one"])
        assert told.value.reason == reason
        assert re.search(says, told.value.message)

        async def ask(url: str = url) -> None:
            async with AsyncRerankClient(redis_url=url, failover_s=0) as client:
                await client.rerank("rooms?", ["one"])

        with pytest.raises(QueueUnavailable, match=says):
            asyncio.run(ask())


def test_a_sentinel_that_is_away_is_asked_once(servers: Watched) -> None:
    """Not by each connection: it costs a time-out each time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.5)
        first = servers.url("sentinel-client").replace("@", f"@127.0.0.1:{silent.getsockname()[1]},", 1)
        settings = load_settings(redis_url=f"{first}&socket_timeout=1&socket_connect_timeout=1", namespace="sentinel")

        async def ping() -> None:
            async with connect_async(settings) as client:
                await client.ping()

        for _ in range(3):
            with connect(settings) as client:
                client.ping()
            asyncio.run(ping())
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_a_primary_that_was_demoted_is_left(servers: Watched) -> None:
    """It answers every write with READONLY; the next connection goes to the new primary."""
    settings = settings_of(servers, "worker")
    with connect(settings) as client:
        assert _writes(client)
        old = servers.primary()
        with servers.admin(servers.sentinels[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", "fleet")
        wait_until(lambda: servers.primary() != old, "the Sentinels name another primary")
        wait_until(lambda: _writes(client), "the client writes again")

    async def write() -> bool:
        async with connect_async(settings) as client:
            return bool(await client.set("sentinel:trial:loop", 1, ex=5))

    assert asyncio.run(write())
