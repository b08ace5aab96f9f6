"""Servers that others manage: INFO, CONFIG and CLIENT forbidden, scripts forgotten at any time; and clusters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from rerank_dev.ports import free_port
from rerank_ops.local.redis_server import EmbeddedServer, find_server
from rerank_producer import RerankClient
from rerank_shared.errors import QueueUnavailable
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from support.clusters import cluster_binary
from support.commands import CommandLine
from support.fleet import TestFleet
from support.jobs import passages

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FORBIDDEN = ("-config", "-info", "-client", "-acl", "-debug", "-monitor", "-script")


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as running:
        yield running


@pytest.fixture
def admin(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def test_a_fleet_needs_neither_info_nor_config_nor_client(
    server: EmbeddedServer, admin: redis.Redis, namespace: str, tmp_path: Path
) -> None:
    """SCRIPT is not needed for jobs either; only the start of remote control loads a script by it."""
    rules = ("~*", "&*", "+@all", *(rule for rule in FORBIDDEN if rule != "-script"))
    admin.execute_command("ACL", "SETUSER", "managed", "on", ">pw", *rules)
    settings = load_settings(redis_url=f"{server.url}?username=managed&password=pw", namespace=namespace)
    with TestFleet(settings, tmp_path).start() as fleet, RerankClient(settings) as client:
        assert client.rerank("rooms?", passages(2), deadline_ms=60_000, partial=False).complete
        assert "Traceback" not in fleet.log()
    ran = CommandLine({}).run("doctor", "--redis-url", str(settings.redis_url.get_secret_value()))
    assert "INFO is forbidden" in ran.stdout.replace("\n", " ").replace("  ", " ")


def test_scripts_may_be_forgotten_at_any_time(
    server: EmbeddedServer, admin: redis.Redis, namespace: str, tmp_path: Path
) -> None:
    settings = load_settings(redis_url=server.url, namespace=namespace)
    stop = threading.Event()

    def forget() -> None:
        while not stop.wait(0.005):
            admin.script_flush()

    thread = threading.Thread(target=forget)
    with TestFleet(settings, tmp_path).start() as fleet, RerankClient(settings) as client:
        thread.start()
        try:
            for number in range(20):
                answer = client.rerank(f"rooms {number}?", passages(2, words=5), deadline_ms=60_000, partial=False)
                assert answer.complete
        finally:
            stop.set()
            thread.join()
        assert "Traceback" not in fleet.log()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """A cluster of one server, which serves every key itself."""
    with EmbeddedServer.start(port=free_port(), binary=cluster_binary(find_server(), tmp_path)) as running:
        with redis.Redis.from_url(running.url) as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        yield running


def test_a_cluster_is_refused_at_the_start_with_the_reason(cluster: EmbeddedServer, tmp_path: Path) -> None:
    """By a worker at its start, and by doctor; a worker that waited would never get a job."""
    settings = load_settings(redis_url=cluster.url, namespace="cluster")
    logs = tmp_path / "logs"
    logs.mkdir()
    with TestFleet(settings, logs).start(wait=False) as fleet:
        assert fleet.processes[0].wait(timeout=100) == 78
        assert "is a cluster" in fleet.log()
        assert "can't be spread over a cluster" in fleet.log()
    ran = CommandLine({}).run("doctor", "--redis-url", cluster.url)
    assert ran.returncode == 1
    assert "cluster" in ran.stdout


def test_a_client_of_a_cluster_is_told_too(cluster: EmbeddedServer) -> None:
    settings = load_settings(redis_url=cluster.url, namespace="cluster")
    with RerankClient(settings) as client, pytest.raises(QueueUnavailable) as told:
        client.rerank("rooms?", ["one"], deadline_ms=5_000)
    with connect(settings) as straight:
        assert straight.ping()
    assert told.value.reason == "cluster"
