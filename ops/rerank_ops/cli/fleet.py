"""The supervisor as commands use it: in the foreground for `worker` and `up`, beside one call for `rerank --up`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rerank_shared.catalogue import name_of
from rerank_shared.connections import connect
from rerank_shared.errors import ConfigurationError
from rerank_shared.fleet import read_state
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings

if TYPE_CHECKING:
    from rerank_worker.supervisor import Supervisor

_LOOK_S = 0.05


def run_workers(settings: Settings, processes: int | None) -> int:
    """Run worker processes until a signal ends them; returns the supervisor's exit status."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    return _supervisor(settings, processes).run()


@contextmanager
def private_workers(settings: Settings) -> Iterator[None]:
    """Run worker processes beside the block, from when the first one is ready until the block ends.

    Raises ConfigurationError if they can't be started; the workers themselves have said why.
    """
    supervisor = _supervisor(settings.model_copy(update={"log_level": "WARNING"}), None)
    with supervisor:
        _await_ready(supervisor, settings)
        # Whoever polls deals with deaths, and the block has other things to do.
        tending = threading.Thread(target=_tend, args=(supervisor,), name="supervisor")
        tending.start()
        try:
            yield
        finally:
            supervisor.drain()
            tending.join()


def _supervisor(settings: Settings, processes: int | None) -> Supervisor:
    from rerank_worker.fleet_metrics import FleetCollector
    from rerank_worker.supervisor import Supervisor

    collectors = [FleetCollector(settings)] if settings.metrics_port else []
    return Supervisor(settings, processes, collectors=collectors)


def _await_ready(supervisor: Supervisor, settings: Settings) -> None:
    keys, model = Keys(settings.namespace), name_of(settings.model)
    with connect(settings) as client:
        while not read_state(client, keys, model, time.time()).workers:
            if supervisor.poll(_LOOK_S) is not None:
                raise ConfigurationError("no worker can be started here; `rerank-fleet doctor` finds out why")


def _tend(supervisor: Supervisor) -> None:
    while supervisor.poll(None) is None:
        pass
