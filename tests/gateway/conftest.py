"""One gateway with one real worker behind it, for the tests that change neither."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared.settings import load_settings
from support.fleet import TestFleet
from support.http.gateway import FrontedFleet, TestGateway
from support.http.upstream import Upstream, serving


@pytest.fixture(scope="session")
def fronted(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontedFleet]:
    """A gateway for all tests of this process; what they leave in its cache must not matter to each other."""
    directory = tmp_path_factory.mktemp("gateway")
    settings = load_settings(redis_url=server.url, namespace=f"gateway-{uuid.uuid4().hex[:12]}")
    with (
        TestFleet(settings, directory) as fleet,
        TestGateway(settings, directory / "gateway.log", body_timeout_s=1.5, max_body_mib=4) as gateway,
        RerankClient(settings) as client,
        gateway.client() as http,
    ):
        fleet.start()
        yield FrontedFleet(gateway.wait_ready(), http, fleet, client)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """An upstream that listens on this machine, behind TLS."""
    async with serving() as opened:
        yield opened
