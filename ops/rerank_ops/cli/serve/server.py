"""`rerank-fleet server`: runs the embedded server in the foreground, at the address in the settings.

A Procfile can start it beside its workers. It listens only on this machine's own addresses.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from rerank_ops.cli.options import RedisUrl, settings_from
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_ops.signals import stop_asked
from rerank_shared.errors import ConfigurationError, ServerUnavailable
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect, masked_url, url_of
from rerank_shared.settings import Settings

_HOSTS = ("127.0.0.1", "localhost")
_SOCKET_NAME = "redis.sock"
_LOOK_S = 0.5
#: Procfile runners stop all processes at once, and kill those that still run after 5 s.
_LINGER_S = 4.0
_LINGER_LOOK_S = 0.05


def server(url: RedisUrl = None) -> None:
    """Run a Redis-compatible server on this machine, until Ctrl-C.

    It listens at RERANK_REDIS_URL, which must name a port of 127.0.0.1 or a unix socket. It keeps everything in
    memory: use it for development, not for production.
    """
    settings = settings_from(url)
    address = address_of(settings)
    with stop_asked() as stop, EmbeddedServer.start(address.directory, port=address.port) as running:
        print(f"{running.binary.path.name} {running.binary.version} at {running.url}, in memory only", flush=True)
        while not stop.wait(_LOOK_S):
            if running.pid is None:
                raise ServerUnavailable(f"the server has ended by itself; {running.log_path} may say why")
        _await_farewells(settings)


@dataclass(frozen=True, slots=True)
class Address:
    """Address of the embedded server: a socket in `directory`, or `port` of 127.0.0.1 where `directory` is None."""

    directory: Path | None
    port: int


def address_of(settings: Settings) -> Address:
    """Return the address at which the server of these settings would listen.

    Raises ConfigurationError where the embedded server can't have that address, ServerUnavailable where it is taken.
    """
    url = url_of(settings)
    if url.has_secret:
        raise ConfigurationError(
            f"RERANK_REDIS_URL ({masked_url(settings)}) has a password, and the embedded server knows none: "
            "leave it out, or start the server of your choice yourself"
        )
    if url.scheme == "unix":
        path = Path(url.path)
        if path.name != _SOCKET_NAME:
            raise ConfigurationError(f"the embedded server's socket is always called {_SOCKET_NAME}, not {path.name}")
        return Address(path.parent, 0)
    if url.scheme != "redis" or url.host not in _HOSTS:
        raise ConfigurationError(
            f"RERANK_REDIS_URL ({masked_url(settings)}) names a server that can't be started here: this command serves "
            f"redis://127.0.0.1:PORT or unix:///DIRECTORY/{_SOCKET_NAME}. For a server elsewhere, just start workers"
        )
    _refuse_taken(url.port)
    return Address(None, url.port)


def _await_farewells(settings: Settings) -> None:
    """Wait, _LINGER_S at most, for workers that are stopped at the same moment to answer the jobs that they run.

    A worker that drains no longer counts as alive, and is connected to its last word.
    """
    give_up = time.monotonic() + _LINGER_S
    try:
        with connect(settings) as client:
            while client.info("clients")["connected_clients"] > 1 and time.monotonic() < give_up:
                time.sleep(_LINGER_LOOK_S)
    except OUTAGES_AND_REFUSALS:
        return  # the server is gone already, so there is nothing left to wait for


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerUnavailable(
                f"something listens on 127.0.0.1:{port} already. If it is your Redis, start only the workers; else "
                f"set RERANK_REDIS_URL=redis://127.0.0.1:{port + 1}/0"
            )
