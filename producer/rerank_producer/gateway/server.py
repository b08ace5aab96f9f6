"""Runs a gateway under uvicorn: one process, or several behind one port; SIGTERM drains it.

Access is not logged: each answer carries its own times.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from functools import partial
from typing import cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from rerank_producer.gateway.app import create_app
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.http.bounded_protocol import BoundedHttpProtocol
from rerank_producer.gateway.settings import GatewaySettings
from rerank_producer.gateway.watch.exposition import counted_together
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: Connections that wait to be accepted while all processes are busy.
_BACKLOG = 4_096
#: Longer than the common proxies keep an idle connection, so that the proxy is the one to close it.
_KEEP_ALIVE_S = 75
_INTERRUPTED = 128 + signal.SIGINT


def run(fleet: Settings, settings: GatewaySettings) -> int:
    """Serve until a signal, then let open requests end; returns the exit status.

    Raises ConfigurationError for a port that can't be had, and for keys or an upstream that can't be used.
    """
    # Here too, so that a wrong key file or upstream ends this process, and not one child after the other.
    Gateway(fleet, settings)
    with _listener(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        log.info("gateway listening url=http://%s:%d processes=%d", host, port, settings.processes)
        # uvicorn raises the signal that ended it once more when all is done.
        signal.signal(signal.SIGTERM, _ignore)
        try:
            return _serve(_config(fleet, settings), listener)
        except KeyboardInterrupt:
            return _INTERRUPTED


def _serve(config: uvicorn.Config, listener: socket.socket) -> int:
    if config.workers == 1:
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        return 0 if server.started else STARTUP_FAILURE
    processes = _Processes(config, [listener])
    with counted_together(config.workers):
        processes.run()
    return STARTUP_FAILURE if any(each.exitcode == STARTUP_FAILURE for each in processes.processes) else 0


class _Processes(Multiprocess):
    """Closes its own copy of the listener when it ends: as long as one is open the kernel takes connections, which no
    process would accept any more."""

    def terminate_all(self) -> None:
        """End all processes."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def _config(fleet: Settings, settings: GatewaySettings) -> uvicorn.Config:
    return uvicorn.Config(
        partial(_make_app, fleet, settings),
        factory=True,
        workers=settings.processes,
        # Whatever makes a protocol will do, and a partial reaches child processes, as a class made here would not.
        http=cast("type[asyncio.Protocol]", partial(BoundedHttpProtocol, head_timeout_s=settings.head_timeout_s)),
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.grace_s)),
    )


def _make_app(fleet: Settings, settings: GatewaySettings) -> Starlette:
    # A child process starts without.
    set_up_logging(fleet)
    return create_app(fleet, settings)


def set_up_logging(fleet: Settings) -> None:
    """Log as workers do."""
    logging.basicConfig(level=fleet.log_level, format="%(asctime)s %(levelname)s %(message)s")
    # It logs each start and stop of its own parts, and each malformed request, which any client may send.
    logging.getLogger("uvicorn.error").setLevel(max(logging.ERROR, logging.getLogger().level))


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"the gateway can't listen on {host}:{port}: {error.strerror or error}. "
            "Set RERANK_GATEWAY_HOST and RERANK_GATEWAY_PORT"
        ) from None


def _ignore(*_: object) -> None: ...
