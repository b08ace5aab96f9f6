"""A gateway's life: when it is ready, how it ends, and that several processes behind one port are one gateway."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from conftest import StartFleet, StartGateway
from rerank_shared.settings import Settings, to_environ
from support.commands import COMMAND
from support.jobs import passages
from support.waiting import wait_until

pytestmark = pytest.mark.integration


def connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def ready(http: httpx.Client) -> tuple[int, str | None]:
    answer = http.get("/readyz")
    return answer.status_code, answer.json().get("reason")


def test_it_is_ready_while_a_warm_worker_is_alive(
    start_fleet: StartFleet, start_gateway: StartGateway, settings: Settings
) -> None:
    with start_gateway().client() as http:
        assert http.get("/healthz").status_code == 200
        assert ready(http) == (503, "no worker is alive")
        fleet = start_fleet()
        assert ready(http) == (200, None)
        fleet.kill()
        wait_until(lambda: ready(http)[0] == 503, "the dead worker is missed")


def test_open_requests_end_before_it_does_and_the_live_stream_does_not_hold_it(
    start_fleet: StartFleet, start_gateway: StartGateway
) -> None:
    fleet = start_fleet()
    gateway = start_gateway().wait_ready()
    body = {"query": "which rooms?", "documents": passages(150)}
    with (
        gateway.client() as http,
        gateway.client() as other,
        ThreadPoolExecutor(1) as pool,
        other.stream("GET", "/v1/fleet/live") as stream,
    ):
        frames = stream.iter_lines()
        assert next(frames).startswith("retry:")
        pending = pool.submit(http.post, "/v2/rerank", json=body)
        wait_until(lambda: fleet.held_jobs() > 0, "the worker has it")
        gateway.process.send_signal(signal.SIGTERM)
        assert pending.result(timeout=60).headers["x-rerank-complete"] == "true"
        # The stream ends by itself.
        assert [line for line in frames if line.startswith("event: error")] == []
    assert gateway.stop() == 0


def test_the_port_stays_open_for_as_long_as_a_balancer_needs_to_notice(
    start_fleet: StartFleet, start_gateway: StartGateway
) -> None:
    start_fleet()
    gateway = start_gateway(drain_s=60).wait_ready()
    gateway.process.send_signal(signal.SIGTERM)
    # Each on a connection of its own.
    wait_until(
        lambda: httpx.get(f"{gateway.url}/readyz", trust_env=False).json().get("reason") == "draining", "it says no"
    )
    body = {"query": "q", "documents": ["d"]}
    assert httpx.post(f"{gateway.url}/v2/rerank", json=body, trust_env=False).status_code == 200
    # Who asks again does not want to wait.
    assert gateway.stop() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_while_open_requests_end_others_are_not_left_hanging(
    start_fleet: StartFleet, start_gateway: StartGateway, processes: int
) -> None:
    fleet = start_fleet()
    gateway = start_gateway(processes=processes).wait_ready()
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(http.post, "/v2/rerank", json={"query": "which rooms?", "documents": passages(150)})
        wait_until(lambda: fleet.held_jobs() > 0, "the worker has it")
        gateway.process.send_signal(signal.SIGTERM)
        address = httpx.URL(gateway.url)
        wait_until(lambda: not connects(address.host, address.port or 0), "new connections are refused")
        assert pending.result(timeout=60).status_code == 200
    assert gateway.stop() == 0


def test_a_crowd_that_asks_for_readiness_keeps_nobody_from_an_answer(
    start_fleet: StartFleet, start_gateway: StartGateway
) -> None:
    start_fleet()
    gateway = start_gateway().wait_ready()

    async def crowd() -> list[int]:
        async with gateway.async_client(limits=httpx.Limits(max_connections=None)) as http:
            answers = await asyncio.gather(*(http.get("/readyz") for _ in range(300)))
            return [answer.status_code for answer in answers]

    assert Counter(asyncio.run(crowd())) == {200: 300}


def test_several_processes_are_one_gateway(start_fleet: StartFleet, start_gateway: StartGateway) -> None:
    start_fleet()
    gateway = start_gateway(processes=2).wait_ready()
    children = psutil.Process(gateway.process.pid).children(recursive=True)
    with ThreadPoolExecutor(16) as pool, gateway.client() as http:
        body = {"query": "q", "documents": ["d"]}
        answers = list(pool.map(lambda _: http.post("/v2/rerank", json=body), range(64)))
    assert Counter(answer.status_code for answer in answers) == {200: 64}
    assert gateway.stop() == 0
    wait_until(lambda: not any(child.is_running() for child in children), "its processes have ended")


def test_a_process_that_dies_is_replaced(start_fleet: StartFleet, start_gateway: StartGateway) -> None:
    start_fleet()
    gateway = start_gateway(processes=2).wait_ready()

    def serving() -> list[psutil.Process]:
        found = [each for each in psutil.Process(gateway.process.pid).children() if each.status() != "zombie"]
        return [child for child in found if any("spawn_main" in word for word in child.cmdline())]

    wait_until(lambda: len(serving()) == 2, "two processes serve")
    victim = serving()[0]
    victim.kill()
    wait_until(lambda: len(serving()) == 2 and victim.pid not in [p.pid for p in serving()], "there is another")
    with gateway.client() as http:
        assert http.post("/v2/rerank", json={"query": "q", "documents": ["d"]}).status_code == 200


def test_pages_of_named_origins_may_call(start_gateway: StartGateway) -> None:
    gateway = start_gateway(cors_origins="https://shop.example, https://news.example:8443")
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    with gateway.client() as http:
        for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
            answer = http.options("/v2/rerank", headers=asked | {"origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
            sent = http.get("/v1/models", headers={"origin": origin, "sec-fetch-site": "cross-site"})
            assert (sent.status_code == 200) is allowed


def run(settings: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "gateway", *arguments],
        env=to_environ(settings) | {"PATH": "", "RERANK_GATEWAY_PORT": "0"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"RERANK_GATEWAY_KEYS": "/nowhere/keys.toml"}, "rerank-fleet keys create"),
        ({"RERANK_GATEWAY_OVERFLOW_URL": "http://plain.example", "RERANK_GATEWAY_OVERFLOW_MODEL": "m"}, "https"),
        ({"RERANK_GATEWAY_OVERFLOW_URL": "https://up.example"}, "RERANK_GATEWAY_OVERFLOW_MODEL"),
        ({"RERANK_GATEWAY_HOTS": "0.0.0.0"}, "RERANK_GATEWAY_HOST"),
        ({"RERANK_GATEWAY_PORT": "99999"}, "RERANK_GATEWAY_PORT"),
        ({"RERANK_GATEWAY_CORS_ORIGINS": "https://shop.example/page"}, "RERANK_GATEWAY_CORS_ORIGINS"),
        ({"RERANK_GATEWAY_HOST": "192.0.2.1"}, "RERANK_GATEWAY_HOST"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_can_not_serve_does_not_start_and_says_why(
    settings: Settings, variables: dict[str, str], told: str, processes: str
) -> None:
    ended = run(settings, "--processes", processes, **variables)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_that_is_taken(settings: Settings, start_gateway: StartGateway) -> None:
    port = httpx.URL(start_gateway().url).port
    ended = run(settings, "--port", str(port))
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr


def test_settings_are_told_at_the_start_without_secrets(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(
        overflow_url="https://up.example", overflow_model="rerank-v3.5", overflow_key="sk-very-secret-key"
    )
    log = gateway.log()
    assert "overflow_url=https://up.example" in log
    assert "sk-very-secret-key" not in log
