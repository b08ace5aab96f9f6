"""pytest's side of it: the fleet's classes where kombu's and Celery's tests look for theirs, and the outcomes.

Loaded by `-p` before any test module is, so that what those import by name is the fleet's already. Told by environment:
CONFORMANCE_CONTROL (leave their classes), CONFORMANCE_OUTCOMES (the file to write the outcomes to).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import celery.backends.redis
import kombu
import kombu.transport.redis

from rerank_dev.ports import free_port
from rerank_ops.local.embedded_redis import EmbeddedServer
from rerank_shared.queue.backend import FleetBackend
from rerank_shared.queue.transport.channel import FleetChannel, FleetTransport
from rerank_shared.queue.transport.poller import FleetPoller
from rerank_shared.queue.transport.qos import FleetQoS

#: What kombu's tests use where they use a prefix, and a namespace in its place: there, queues of the fleet may be.
_THEIR_PREFIX, _NAMESPACE_PREFIX = "_prefixed_", "conformance:"


# Now, since the tests read them when their first files are loaded, which is before a plugin is asked anything.
_PORT = free_port()
_URL = f"redis://127.0.0.1:{_PORT}/0"
os.environ |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(_PORT), "REDIS_6379_TCP": str(_PORT)}
os.environ |= {"TEST_BROKER": _URL, "TEST_BACKEND": _URL}
_outcomes: dict[str, str] = {}
_servers: list[EmbeddedServer] = []


def pytest_configure(config: Any) -> None:
    """Put the classes in place and start a server; one for each process, since tests share the names of queues."""
    for marker in ("env(name): the broker it needs", "flaky(**options): may be run again", "celery(**settings)"):
        config.addinivalue_line("markers", marker)
    if not os.environ.get("CONFORMANCE_CONTROL"):
        kombu.transport.redis.Channel = FleetChannel
        kombu.transport.redis.Transport = FleetTransport
        kombu.transport.redis.MultiChannelPoller = FleetPoller
        kombu.transport.redis.QoS = FleetQoS
        celery.backends.redis.RedisBackend = FleetBackend
    _use_namespace()
    if not _distributes(config):
        _servers.append(EmbeddedServer.start(port=_PORT))


def pytest_runtest_logreport(report: Any) -> None:
    """Keep the worst of a test's three phases."""
    if report.when == "call" or report.failed or report.skipped:
        failed = report.failed or _outcomes.get(report.nodeid) == "failed"
        _outcomes[report.nodeid] = "failed" if failed else str(report.outcome)


def pytest_collectreport(report: Any) -> None:
    """Keep that a file could not be imported: none of its tests is told otherwise."""
    if report.failed:
        _outcomes[report.nodeid] = "failed"


def pytest_sessionfinish(session: Any) -> None:
    """Write them down, where one process knows them all."""
    if not hasattr(session.config, "workerinput"):
        Path(os.environ["CONFORMANCE_OUTCOMES"]).write_text(json.dumps(_outcomes))


def pytest_unconfigure() -> None:
    """Stop the server."""
    for server in _servers:
        server.stop()


def _use_namespace() -> None:
    begin = kombu.Connection.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        options = kwargs.get("transport_options") or {}
        if options.get("global_keyprefix") == _THEIR_PREFIX:
            kwargs["transport_options"] = options | {"global_keyprefix": _NAMESPACE_PREFIX}
        begin(self, *args, **kwargs)

    kombu.Connection.__init__ = __init__


def _distributes(config: Any) -> bool:
    return bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
