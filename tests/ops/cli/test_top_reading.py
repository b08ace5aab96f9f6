"""What `top` asks the server for one look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rerank_ops.cli.top.reading import TopReader
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.fleet import beat
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration


@pytest.fixture
def alone() -> Iterator[Settings]:
    """Settings of a server that nobody else asks."""
    with EmbeddedServer.start() as server:
        yield load_settings(redis_url=server.url)


async def test_one_look_reads_the_state_of_the_fleet_once(alone: Settings) -> None:
    """Two readings would cost twice, and could show two states that differ."""
    keys, reader = Keys(alone.namespace), TopReader(alone)
    with connect(alone) as client:
        beat(client, keys, Heartbeat("w", "m", "h", 1, None, 0.0, 5.0, 0, 0), server_epoch(client) + 600)
        view = await reader.read()
        await reader.aclose()
        stats: dict[str, Any] = client.info("commandstats")
    assert [worker.id for worker in view.fleet.workers] == ["w"]
    assert (view.fleet.at, view.autoscale.processes.ready) == (view.autoscale.at, 1)
    # A class each: the length of its queue, its backlog.
    assert stats["cmdstat_llen"]["calls"] == len(JOB_CLASSES)
    assert stats["cmdstat_eval"]["calls"] == len(JOB_CLASSES)
