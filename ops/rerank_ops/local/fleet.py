"""Local fleet: a server if none is given, a supervisor and warm workers on this machine, for the life of a block."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rerank_ops.local.redis_server import ensure_server
from rerank_shared.collectors import all_collectors
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import ConfigurationError
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from rerank_worker.supervisor.supervisor import Supervisor

READY_S = 60.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class LocalFleet:
    """A running fleet. `settings.redis_url` is the URL of its server."""

    settings: Settings
    supervisor: Supervisor
    processes: int


@contextmanager
def local_fleet(
    settings: Settings, processes: int | None = None, *, most: int | None = None, counted: bool = False
) -> Iterator[LocalFleet]:
    """Yield a fleet whose workers are warm; it drains when the block ends.

    `most`: how many its supervisor may be asked for; as many as it starts with where unset.
    `counted`: its supervisor's `counts` hold the workers' metrics, even with /metrics off.
    Raises as `ensure_server` does, and ConfigurationError when the workers refuse to start (they print why on stderr)
    or are not ready within READY_S.
    """
    with ensure_server(settings) as effective:
        collectors = all_collectors(effective)
        supervisor = Supervisor(effective, processes, most=most, collectors=collectors, counted=counted)
        supervisor.start()
        watcher = threading.Thread(target=_watch, args=(supervisor,), name="supervisor")
        watcher.start()
        try:
            count = supervisor.processes
            _wait_until_ready(effective, watcher, count)
            yield LocalFleet(effective, supervisor, count)
        finally:
            supervisor.drain()
            watcher.join()
            supervisor.stop()


def _watch(supervisor: Supervisor) -> None:
    while supervisor.poll(None) is None:
        pass


def _wait_until_ready(settings: Settings, watcher: threading.Thread, count: int) -> None:
    give_up, model = time.monotonic() + READY_S, name_of(settings.model)
    with connect(settings) as client:
        while len(read_state(client, Keys(settings.namespace), model).workers) < count:
            if not watcher.is_alive():
                raise ConfigurationError("the workers refused to start; their last words are above")
            if time.monotonic() > give_up:
                raise ConfigurationError(f"the workers were not ready within {READY_S:g} s; see their log above")
            time.sleep(_POLL_S)
