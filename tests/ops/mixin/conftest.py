"""One live fleet for the tests of the mixin."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from rerank_dev.ports import free_port
from rerank_ops.local.fleet import local_fleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, load_settings
from support.http.gateway import TestGateway
from support.mixin.live import LiveFleet, work


@pytest.fixture(scope="package")
def live(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveFleet]:
    settings = load_settings(redis_url=server.url, namespace=f"mixin-{uuid.uuid4().hex[:12]}", metrics_port=free_port())
    with connect(settings) as client:
        RouteStore(client, Keys(settings.namespace)).set(read_route("search", {"shares": {settings.model: 1}}))
    with limited(settings), local_fleet(settings, 1) as fleet:
        gateway = TestGateway(fleet.settings, tmp_path_factory.mktemp("mixin") / "gateway.log")
        try:
            gateway.wait_ready()
            work(gateway)
            urls = (gateway.url, f"http://{settings.metrics_host}:{settings.metrics_port}")
            texts = [httpx.get(f"{url}/metrics", trust_env=False).raise_for_status().text for url in urls]
            yield LiveFleet(fleet, gateway, (texts[0], texts[1]))
        finally:
            gateway.stop()


@contextmanager
def limited(settings: Settings) -> Iterator[None]:
    """Give the server a limit of its memory, far above what tests need: without one it tells none."""
    with connect(settings) as client:
        client.config_set("maxmemory", "4gb")
        yield
        client.config_set("maxmemory", 0)
