"""One live fleet for the tests of the mixin."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

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
from support.mixin.live import LiveFleet, ask, work
from support.model.exports import write_export
from support.waiting import wait_until


@pytest.fixture(scope="package")
def live(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveFleet]:
    settings = load_settings(redis_url=server.url, namespace=f"mixin-{uuid.uuid4().hex[:12]}", metrics_port=free_port())
    export = write_export(tmp_path_factory.mktemp("exports") / "small", layouts=("unpadded",))
    settings = settings.model_copy(update={"models": (settings.model, f"file:{export}")})
    with connect(settings) as client:
        fields = {"shares": {settings.model: 1}, "shadow": {"tests/random-0": 1}}
        RouteStore(client, Keys(settings.namespace)).set(read_route("search", fields))
    with limited(settings), local_fleet(settings, 1) as fleet:
        gateway = TestGateway(fleet.settings, tmp_path_factory.mktemp("mixin") / "gateway.log")
        try:
            gateway.wait_ready()
            work(gateway)
            wait_until(partial(compared, gateway), "a shadow has scored a request")
            urls = (gateway.url, f"http://{settings.metrics_host}:{settings.metrics_port}")
            texts = [httpx.get(f"{url}/metrics", trust_env=False).raise_for_status().text for url in urls]
            yield LiveFleet(fleet, gateway, (texts[0], texts[1]))
        finally:
            gateway.stop()


def compared(gateway: TestGateway) -> bool:
    """Whether a shadow's scores have been compared; asks for one more request where it has not."""
    ask(gateway, query="by a route", documents=["one", "two"], model="search")
    return 'outcome="compared"' in httpx.get(f"{gateway.url}/metrics", trust_env=False).text


@contextmanager
def limited(settings: Settings) -> Iterator[None]:
    """Give the server a limit of its memory, far above what tests need: without one it tells none."""
    with connect(settings) as client:
        client.config_set("maxmemory", "4gb")
        yield
        client.config_set("maxmemory", 0)
