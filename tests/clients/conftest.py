"""One gateway with one real worker behind it, for all SDKs; API keys are set, so that each SDK has to send one."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared.contract.messages import name_of
from rerank_shared.settings import load_settings
from support.fleet import TestFleet
from support.http.clients import ApiKeys, Served
from support.http.gateway import TestGateway

#: Read when litellm is imported: it would fetch its list of prices from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.fixture(scope="session")
def served(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway for the whole run. What tests add to its cache must not matter to others."""
    directory = tmp_path_factory.mktemp("clients")
    keys = ApiKeys.make()
    key_file = directory / "keys.toml"
    key_file.write_text(keys.text)
    key_file.chmod(0o600)
    settings = load_settings(redis_url=server.url, namespace=f"clients-{uuid.uuid4().hex[:12]}")
    with (
        TestFleet(settings, directory) as workers,
        TestGateway(settings, directory / "gateway.log", keys=key_file) as gateway,
        RerankClient(settings) as client,
    ):
        workers.start()
        yield Served(gateway.wait_ready(), keys, client, name_of(settings.model))


@pytest.fixture(scope="session")
def strict(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Another gateway on the same fleet and keys, which answers for served names alone."""
    directory = tmp_path_factory.mktemp("strict")
    key_file = directory / "keys.toml"
    key_file.write_text(served.keys.text)
    key_file.chmod(0o600)
    with TestGateway(served.fleet.settings, directory / "gateway.log", keys=key_file, stand_in_for="") as gateway:
        yield replace(served, gateway=gateway.wait_ready())


@pytest.fixture(scope="session")
def drained_key(served: Served) -> str:
    """A key that every further request is refused with."""
    served.spend(served.keys.drained)
    return served.keys.drained


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What an SDK leaves open is warned of when it is collected: in its own module, which knows what to expect."""
    yield
    gc.collect()
