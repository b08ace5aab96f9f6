"""Fleets of the commands: workers in the foreground, and the fleet that answers one call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from rerank_ops.cli.console import err
from rerank_ops.cli.extras import require_worker
from rerank_ops.local.fleet import local_fleet
from rerank_ops.local.redis_server import check_server, is_given
from rerank_shared.collectors import all_collectors
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import QueueUnavailable
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, masked_url, outages_told
from rerank_shared.route_store.keeper import RouteKeeper
from rerank_shared.settings import Settings
from rerank_shared.tracing.export import exporting
from rerank_worker.supervisor.scaler import Scaler
from rerank_worker.supervisor.supervisor import Supervisor


def run_workers(settings: Settings, processes: int | None, *, autoscaled: bool = False) -> int:
    """Run worker processes until a signal ends them; return the supervisor's exit status.

    `autoscaled`: as many as the autoscaling signal wants, within the bounds of the settings, `processes` at the start.
    """
    require_worker()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    collectors = all_collectors(settings) if settings.metrics_port else []
    most = settings.max_processes if autoscaled else None
    supervisor = Supervisor(settings, processes, most=most, collectors=collectors)
    following = Scaler(settings, supervisor).following() if autoscaled else nullcontext()
    with RouteKeeper(settings), following:
        return supervisor.run()


@contextmanager
def fleet_for_call(settings: Settings, *, up: bool) -> Iterator[Settings]:
    """Yield settings of a server that answers: the given one, or with `up` that of a private fleet. Export its spans.

    The private fleet ends with the block. Raises QueueUnavailable where no server answers; it tells how to get one.
    """
    with ExitStack() as stack:
        if up and not is_given(settings):
            require_worker()
            with err.status("starting a private fleet"):
                quiet = settings.model_copy(update={"log_level": "WARNING"})
                fleet = stack.enter_context(local_fleet(quiet))
            settings = fleet.settings
        else:
            _reach(settings)
        stack.enter_context(exporting("rerank-fleet"))
        yield settings


def _reach(settings: Settings) -> None:
    try:
        check_server(settings)
    except QueueUnavailable:
        if is_given(settings):
            raise
        raise QueueUnavailable(
            f"no server answers at {masked_url(settings)}, and none was named. Start a fleet with `rerank-fleet up`, "
            "name one with RERANK_REDIS_URL or --redis-url, or add --up for a private one"
        ) from None
    with connect(settings) as client, outages_told(settings, "looking for workers"):
        state = read_state(client, Keys(settings.namespace), name_of(settings.model))
    if not state.workers:
        err.print(
            f"note: no worker is alive in namespace {settings.namespace!r}; `rerank-fleet worker` starts some",
            style="yellow",
        )
