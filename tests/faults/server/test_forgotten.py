"""The server has forgotten a job, or its text: who collects it is told at once, who has the text sends it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import StartFleet, StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import JobLost
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.jobs import passages
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]
#: Two seconds are promised, from when the server answers again; a restart and a busy machine come on top.
BOUND_S = 10.0
Forget = Callable[[EmbeddedServer, Settings], None]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as running:
        yield running


def flush(server: EmbeddedServer, settings: Settings) -> None:
    with connect(settings) as client:
        client.flushall()


def restart(server: EmbeddedServer, settings: Settings) -> None:
    server.kill()
    server.restart()


def listened_to(settings: Settings, job_id: str) -> bool:
    with connect(settings) as client:
        return bool(client.pubsub_numsub(Keys(settings.namespace).result(job_id))[0][1])


@pytest.mark.parametrize("forget", [flush, restart], ids=["emptied", "restarted"])
def test_who_collects_a_forgotten_job_is_told_at_once(
    server: EmbeddedServer, settings: Settings, forget: Forget
) -> None:
    with RerankClient(settings) as client, ThreadPoolExecutor(1) as pool:
        handle = client.submit("q", ["a"], job_class="bulk")
        pending = pool.submit(client.collect, handle)
        wait_until(lambda: listened_to(settings, handle.job_id), "the caller waits")
        forget(server, settings)
        with pytest.raises(JobLost, match="submit the request again"):
            pending.result(timeout=BOUND_S)
        with pytest.raises(JobLost):
            client.status(handle)


@pytest.mark.parametrize("forget", [flush, restart], ids=["emptied", "restarted"])
async def test_so_is_who_collects_it_on_an_event_loop(
    server: EmbeddedServer, settings: Settings, forget: Forget
) -> None:
    async with AsyncRerankClient(settings) as client:
        handle = await client.submit("q", ["a"], job_class="bulk")
        pending = asyncio.create_task(client.collect(handle))
        await asyncio.to_thread(wait_until, lambda: listened_to(settings, handle.job_id), "the caller waits")
        await asyncio.to_thread(forget, server, settings)
        with pytest.raises(JobLost):
            await asyncio.wait_for(pending, BOUND_S)


def test_so_is_who_collects_it_over_http(
    server: EmbeddedServer, settings: Settings, start_gateway: StartGateway
) -> None:
    gateway = start_gateway()
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        path = http.post("/v1/jobs", json={"query": "q", "documents": ["a"], "deadline_ms": 600_000}).headers[
            "location"
        ]
        pending = pool.submit(http.get, path, params={"wait_ms": 30_000})
        wait_until(lambda: listened_to(settings, path.rpartition("/")[2]), "the caller waits")
        restart(server, settings)
        told = pending.result(timeout=BOUND_S).json()
        assert (told["status"], told["error"]["code"]) == ("failed", "job_lost")
        assert http.get(path).status_code == 404


def test_a_job_whose_answer_has_expired_is_not_waited_for(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet()
    with RerankClient(settings) as client:
        handle = client.submit("which rooms?", passages(2), job_class="bulk")
        wait_until(lambda: fleet.client.delete(fleet.keys.result(handle.job_id)), "it was answered long ago")
        with ThreadPoolExecutor(1) as pool, pytest.raises(JobLost, match="RERANK_RESULT_TTL_S"):
            pool.submit(client.collect, handle).result(timeout=BOUND_S)
        with pytest.raises(JobLost, match="RERANK_RESULT_TTL_S"):
            client.status(handle)


def test_a_job_that_waits_is_waited_for_though_its_record_was_evicted(
    start_fleet: StartFleet, settings: Settings
) -> None:
    with RerankClient(settings) as client, ThreadPoolExecutor(1) as pool, connect(settings) as server:
        handle = client.submit("which rooms?", passages(2), deadline_ms=90_000)
        pending = pool.submit(client.collect, handle)
        wait_until(lambda: listened_to(settings, handle.job_id), "the caller waits")
        server.delete(Keys(settings.namespace).request(handle.job_id))
        start_fleet()
        assert pending.result(timeout=90).complete


@pytest.mark.parametrize("documents", [3, 400])
def test_a_text_that_was_evicted_is_sent_again(start_fleet: StartFleet, settings: Settings, documents: int) -> None:
    """Apart from the envelope it was lost, so that it travels inside the second time."""
    keys = Keys(settings.namespace)
    apart = settings.model_copy(update={"inline_bytes": 0})
    with RerankClient(apart) as client, ThreadPoolExecutor(1) as pool, connect(settings) as server:
        pending = pool.submit(client.rerank, "which rooms?", passages(documents), deadline_ms=120_000, partial=False)
        wait_until(lambda: sum(server.delete(name) for name in server.keys(keys.text("*"))), "its text is evicted")
        start_fleet(refuse=False)
        assert pending.result(timeout=130).complete
        wait_until(lambda: not server.zcard(keys.backlog("interactive")), "it counts as work no longer")


def test_the_text_of_a_submitted_job_is_nowhere_else(start_fleet: StartFleet, settings: Settings) -> None:
    keys = Keys(settings.namespace)
    with RerankClient(settings.model_copy(update={"inline_bytes": 0})) as client, connect(settings) as server:
        handle = client.submit("which rooms?", passages(3), deadline_ms=90_000)
        assert server.delete(keys.text(handle.job_id)) == 1
        start_fleet()
        with pytest.raises(JobLost, match="text"):
            client.collect(handle)
