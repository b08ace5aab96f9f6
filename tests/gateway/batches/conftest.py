"""Gateways with files and batches in front of a worker that makes scores up, so that tests can hold it up."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.batches.driving import BatchApi
from producer.conftest import Echo, serve_echo
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import load_settings
from support.http.clients import ApiKeys
from support.http.gateway import TestGateway


@pytest.fixture(scope="session")
def batch_echo(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """An echo worker that lives as long as the test process."""
    settings = load_settings(redis_url=server.url, namespace=f"batches-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    yield from serve_echo(settings, tmp_path_factory.mktemp("batches-echo") / "worker.log")


@pytest.fixture(scope="session")
def batch_keys() -> ApiKeys:
    return ApiKeys.make()


@pytest.fixture(scope="session")
def batch_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches-root")


@pytest.fixture(scope="session")
def batch_gateway(
    batch_echo: Echo, batch_keys: ApiKeys, batch_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestGateway]:
    """A gateway with small limits, for tests that don't stop it."""
    directory = tmp_path_factory.mktemp("batches-gateway")
    keys = directory / "keys.toml"
    keys.write_text(batch_keys.text)
    keys.chmod(0o600)
    with TestGateway(
        batch_echo.settings,
        directory / "gateway.log",
        keys=keys,
        batch_dir=batch_root,
        batch_file_mib=1,
        batch_stored_mib=3,
        batch_lines=500,
        batch_open=4,
        batch_upload_s=5,
        body_timeout_s=1.5,
    ) as gateway:
        yield gateway.wait_ready()


@pytest.fixture
def api(batch_gateway: TestGateway, batch_keys: ApiKeys) -> Iterator[BatchApi]:
    """The gateway as the owner of a key sees it, without files at the end."""
    with batch_gateway.client(headers={"authorization": f"Bearer {batch_keys.plain}"}) as http:
        api = BatchApi(http)
        yield api
        api.clear()


@pytest.fixture
def stranger(batch_gateway: TestGateway, batch_keys: ApiKeys) -> Iterator[httpx.Client]:
    """The same gateway as the owner of another key sees it."""
    with batch_gateway.client(headers={"authorization": f"Bearer {batch_keys.small}"}) as http:
        yield http
