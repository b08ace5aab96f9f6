"""Clients that leave, Redis that goes, and crowds: what a gateway's callers see, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import StartFleet, StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.fleet import TestFleet
from support.http.gateway import TestGateway
from support.jobs import passages
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]
CROWD = 1_000


def unanswered(fleet: TestFleet) -> int:
    return int(fleet.client.zcard(fleet.keys.backlog("interactive")))


def request(path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content


def address(gateway: TestGateway) -> tuple[str, int]:
    parts = urlsplit(gateway.url)
    return parts.hostname or "", parts.port or 0


@pytest.mark.parametrize("path", ["/v2/rerank", "/score"])
def test_a_client_that_hangs_up_takes_its_work_with_it(
    start_fleet: StartFleet, start_gateway: StartGateway, path: str
) -> None:
    fleet = start_fleet()
    gateway = start_gateway().wait_ready()
    documents = passages(3_000)
    body: dict[str, Any] = {"query": "which rooms?", "documents": documents}
    if path == "/score":
        body = {"queries": ["which rooms?", "which ones?"] * 200, "documents": documents[:400]}

    async def leave() -> None:
        _, writer = await asyncio.open_connection(*address(gateway))
        writer.write(request(path, body))
        await writer.drain()
        await asyncio.to_thread(wait_until, lambda: unanswered(fleet) > 0, "its work is in the queue")
        writer.close()
        await writer.wait_closed()

    asyncio.run(leave())
    wait_until(lambda: unanswered(fleet) == 0 and fleet.held_jobs() == 0, "its work is dropped", bound_s=30)
    with gateway.client() as http:
        assert http.post("/v2/rerank", json={"query": "q", "documents": ["d"]}).status_code == 200


def test_of_a_crowd_half_leaves_and_the_other_half_is_answered(
    start_fleet: StartFleet, start_gateway: StartGateway
) -> None:
    fleet = start_fleet()
    gateway = start_gateway().wait_ready()

    async def caller(number: int) -> int | None:
        reader, writer = await asyncio.open_connection(*address(gateway))
        # Some are answered from the cache, some by the model, and leave at every point of it.
        documents = [f"document {number % 50}", "another"]
        writer.write(request("/v2/rerank", {"query": "which?", "documents": documents}))
        await writer.drain()
        try:
            if number % 2:
                await asyncio.sleep((number % 20) / 200)
                return None
            async with asyncio.timeout(60):
                return int((await reader.readline()).split()[1])
        finally:
            writer.close()

    async def crowd() -> list[int | None]:
        return await asyncio.gather(*(caller(number) for number in range(CROWD)))

    statuses = Counter(asyncio.run(crowd()))
    assert statuses == {None: CROWD // 2, 200: CROWD // 2}
    wait_until(lambda: unanswered(fleet) == 0 and fleet.held_jobs() == 0, "nothing is left behind")
    log = gateway.log()
    assert "Traceback" not in log
    assert " ERROR " not in log


def test_more_than_may_be_open_are_told_to_come_again(start_fleet: StartFleet, start_gateway: StartGateway) -> None:
    fleet = start_fleet()
    gateway = start_gateway(max_open=1).wait_ready()
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        body = {"query": "which rooms?", "documents": passages(200)}
        pending = pool.submit(http.post, "/v2/rerank", json=body, headers={"x-rerank-deadline-ms": "60000"})
        wait_until(lambda: fleet.held_jobs() > 0, "one is open")
        with gateway.client() as other:
            answer = other.post("/v2/rerank", json={"query": "q", "documents": ["d"]})
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["id"]
            # Whether it runs and what it does can be seen all the same.
            assert other.get("/readyz").status_code == 200
        assert pending.result().status_code == 200


def test_an_overloaded_fleet_is_429_with_when_to_come_again(
    start_fleet: StartFleet, start_gateway: StartGateway
) -> None:
    fleet = start_fleet()
    gateway = start_gateway().wait_ready()
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        http.post("/v2/rerank", json={"query": "which rooms?", "documents": passages(8)})
        wait_until(lambda: fleet.state().cost, "a worker has shared what running costs")
        busy = {"query": "which rooms?", "documents": passages(9_000)}
        pending = pool.submit(http.post, "/v2/rerank", json=busy, headers={"x-rerank-deadline-ms": "20000"})
        # By the backlog: the last heartbeat may still tell of the request before.
        wait_until(lambda: unanswered(fleet) > 0, "the fleet is busy")
        # Due after what runs, by its age, and before that has ended.
        later = {"query": "which rooms?", "documents": passages(10)}
        answer = http.post("/v2/rerank", json=later, headers={"x-rerank-deadline-ms": "25000"})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["message"]
        assert pending.result().headers["x-rerank-complete"] == "false"


@pytest.fixture
def own_server() -> Any:
    with EmbeddedServer.start() as running:
        yield running


def test_redis_that_goes_is_told_and_comes_back_unnoticed(
    own_server: EmbeddedServer, namespace: str, start_gateway: StartGateway, tmp_path: Any
) -> None:
    settings: Settings = load_settings(redis_url=own_server.url, namespace=namespace)
    body = {"query": "q", "documents": ["d"]}
    with TestFleet(settings, tmp_path) as fleet:
        fleet.start()
        gateway = start_gateway(settings).wait_ready()
        with gateway.client() as http:
            own_server.kill()
            shapes = (
                ("/v2/rerank", "message"),
                ("/v1/rerank", "message"),
                ("/v1/fleet/rerank", "error"),
                ("/v1/jobs", "error"),
            )
            for path, field in shapes:
                answer = http.post(path, json=body, headers={"x-rerank-deadline-ms": "3000"})
                assert answer.status_code == 503
                assert answer.json()[field]
                assert answer.headers["retry-after"]
                # The address is the operator's to know.
                assert own_server.url.rpartition("/")[2] not in answer.text
            assert http.get("/readyz").json()["reason"] == "Redis can't be reached"
            assert http.get("/healthz").status_code == 200
            own_server.restart()
            wait_until(lambda: http.get("/readyz").status_code == 200, "it is ready again", bound_s=30)
            assert http.post("/v2/rerank", json=body).status_code == 200


def test_redis_that_goes_while_a_job_is_collected_says_nothing_of_the_job(
    own_server: EmbeddedServer, namespace: str, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(load_settings(redis_url=own_server.url, namespace=namespace))
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        path = http.post("/v1/jobs", json={"query": "q", "documents": ["d"]}).headers["location"]
        assert http.get(path).json()["status"] == "waiting"
        pending = pool.submit(http.get, path, params={"wait_ms": 20_000})
        with connect(load_settings(redis_url=own_server.url)) as client:
            wait_until(lambda: client.pubsub_channels(f"*{path.rpartition('/')[2]}*"), "it waits for the answer")
        own_server.kill()
        answer: httpx.Response = pending.result(timeout=60)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "queue_unavailable"


def test_a_worker_that_is_killed_is_not_seen(start_fleet: StartFleet, start_gateway: StartGateway) -> None:
    fleet = start_fleet(1, mortal="mid-batch", redelivery_s=1.0)
    gateway = start_gateway(fleet.settings).wait_ready()
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        body = {"query": "which rooms?", "documents": passages(60)}
        pending = pool.submit(http.post, "/v2/rerank", json=body)
        fleet.start()
        answer: httpx.Response = pending.result(timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-rerank-complete"] == "true"
