"""How often a worker turns to the server for one job: to hear of it, to take it, to end it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis

from conftest import StartFleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared.queue.job_queue import FINISH, TAKE
from rerank_shared.settings import Settings
from support.jobs import passages

pytestmark = pytest.mark.integration

JOBS = 5


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server of this test's own: others would be heard too."""
    with EmbeddedServer.start() as running:
        yield running


def commands_until(line: Any, last: str) -> list[str]:
    """Return the commands that clients sent, those inside scripts left out, up to the one that sets key `last`."""
    heard: list[str] = []
    for told in line.listen():
        if told["command"].endswith(last):
            return heard
        if told["client_type"] != "lua":
            heard.append(told["command"])
    return heard


@pytest.mark.parametrize("words", [20, 2_000], ids=["inline", "apart"])
def test_a_job_takes_three_trips_and_its_text_one_more(start_fleet: StartFleet, settings: Settings, words: int) -> None:
    fleet = start_fleet()
    apart = words > 1_000
    with RerankClient(settings) as client, redis.Redis.from_url(settings.redis_url.get_secret_value()) as watcher:
        # Scripts are loaded and connections made by the first; a submitted job has no caller that would ask beside.
        client.collect(client.submit("which rooms?", passages(2, words), deadline_ms=60_000))
        with watcher.monitor() as line:
            for _ in range(JOBS):
                client.collect(client.submit("which rooms?", passages(2, words), deadline_ms=60_000))
            time.sleep(0.05)
            fleet.client.set("done", "listening")
            heard = commands_until(line, "SET done listening")
    counts = Counter(command.split(" ", 1)[0].upper() for command in heard)
    taken, finished = (sum(script.sha in command for command in heard) for script in (TAKE, FINISH))
    assert finished == JOBS
    # A poll in vain, once a second, is one more.
    assert JOBS <= taken <= JOBS + counts["BRPOP"]
    assert [command for command in heard if command.split(" ", 1)[0].upper() in {"HDEL", "ZREM"}] == []
    # kombu renews the binding of the queue for `celery inspect` in a transaction, now and then.
    transactions = [after for command, after in pairwise(heard) if command.upper() == "MULTI"]
    assert [first for first in transactions if "_kombu.binding" not in first] == []
    # Clients read outcomes; nobody writes or announces one by a command of its own.
    results = [command for command in heard if fleet.keys.result("") in command]
    assert not any(command.startswith(("SET ", "PUBLISH ")) for command in results)
    assert sum(f"GET {fleet.keys.text('')}" in command for command in heard) == (JOBS if apart else 0)
    assert fleet.client.hlen(fleet.keys.unacked) == fleet.client.zcard(fleet.keys.leases) == 0
