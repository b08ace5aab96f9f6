"""Fixtures for all tests: a real server a test process, a namespace a test, real workers on demand."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from rerank_ops.local.redis_server import EmbeddedServer, find_server
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, load_settings
from rerank_worker.engine.kernels.library import installed
from support.fleet import TestFleet
from support.http.gateway import TestGateway
from support.threads import NewThreads, threads_from_now_on

# Two test processes share two cores, so hypothesis's own time limits would only measure the neighbour.
hypothesis_settings.register_profile("fleet", deadline=None, max_examples=60)
hypothesis_settings.load_profile("fleet")

StartFleet = Callable[..., TestFleet]
StartGateway = Callable[..., TestGateway]


def pytest_report_header() -> list[str]:
    """Name the server and the kernels that the tests run on: they are whichever this machine has."""
    try:
        found = find_server()
        server = f"{found.path.name} {found.version} of {found.origin}"
    except ConfigurationError as error:
        server = error.message
    library = installed()
    here = [kernel.variant for kernel in library.kernels if kernel.variant not in library.unfit] if library else []
    return [f"server: {server}", f"kernels: {', '.join(here) or 'none, ONNX Runtime runs all layers'}"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers write weights in their CPU's layout, into the user's cache directory unless it is another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """The caller's settings must not reach a test, nor what many of them share."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - bare_environ().keys():
            patch.delenv(name)
        yield


@pytest.fixture(scope="module", autouse=True)
def _no_settings_left(_own_environment: None) -> None:
    """What a fixture of another file sets and leaves would be found by tests that have nothing to do with it."""
    left = os.environ.keys() - bare_environ().keys()
    assert not left, f"the environment has {', '.join(sorted(left))} from an earlier file of tests"


@pytest.fixture(scope="session", autouse=True)
def _own_signals() -> Iterator[None]:
    """Signals mean to the processes that a test starts what they mean by default: those that are caught here do.

    `nohup` ignores SIGHUP for all that it starts, a shell SIGINT for what it runs in the background.
    """
    caught = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    ignored = [signum for signum in caught if signal.getsignal(signum) is signal.SIG_IGN]
    for signum in ignored:
        if signum == signal.SIGINT:
            signal.signal(signum, signal.default_int_handler)
        else:
            # Not the default, which would end this process where the caller asked that nothing does.
            signal.signal(signum, lambda *_: None)
    yield
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """One server for all tests of this process; tests are kept apart by their namespaces."""
    with EmbeddedServer.start() as running:
        yield running


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(server: EmbeddedServer, namespace: str) -> Settings:
    """Settings of this test's own fleet."""
    return load_settings(redis_url=server.url, namespace=namespace)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    """A connection to the server of this test's fleet."""
    with connect(settings) as connected:
        yield connected


@pytest.fixture
def keys(namespace: str) -> Keys:
    """The keys of this test's fleet."""
    return Keys(namespace)


@pytest.fixture
def new_threads() -> NewThreads:
    return threads_from_now_on()


@pytest.fixture
def start_fleet(settings: Settings, tmp_path: Path) -> Iterator[StartFleet]:
    """Start a fleet of real workers: `start_fleet(count=1, mortal=None, **settings that differ)`."""
    fleets: list[TestFleet] = []

    def start(count: int = 1, *, wait: bool = True, mortal: str | None = None, **changes: object) -> TestFleet:
        changed = load_settings(**(settings.model_dump(exclude_none=True) | changes))
        logs = tmp_path / f"fleet-{len(fleets)}"
        logs.mkdir()
        fleet = TestFleet(changed, logs, first=10 * len(fleets))
        fleets.append(fleet)
        return fleet.start(count, wait=wait, mortal=mortal)

    yield start
    for fleet in fleets:
        fleet.stop()


@pytest.fixture
def start_gateway(settings: Settings, tmp_path: Path) -> Iterator[StartGateway]:
    """Start a real gateway process: `start_gateway(fleet=settings, **variables)`, by the names of GatewaySettings."""
    gateways: list[TestGateway] = []

    def start(fleet: Settings | None = None, **variables: object) -> TestGateway:
        log = tmp_path / f"gateway-{len(gateways)}.log"
        gateways.append(TestGateway(fleet or settings, log, **variables))
        return gateways[-1]

    yield start
    for gateway in gateways:
        gateway.stop()
