"""`rerank-fleet autoscale`: prints the signal for autoscalers, as the gateway's /autoscale answers it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from rerank_ops.cli.console import out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_producer.gateway.watch.autoscale import AutoscaleView, autoscale_view
from rerank_producer.gateway.watch.pool_view import PoolView
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.watch.autoscale import read_signal

#: For one answer: autoscalers and scripts ask often.
_TIMEOUT_S = 2.0
_REASONS = {
    "load": "so that each runs for 80 % of its time",
    "backlog": "so that the backlog is done within its target",
    "cooldown": "as many as the busiest ten seconds of the cool-down need, or as started within it",
    "minimum": "RERANK_MIN_PROCESSES",
    "maximum": "RERANK_MAX_PROCESSES",
}


def autoscale(url: RedisUrl = None, as_json: AsJson = False) -> None:
    """Print what waits and how many worker processes the fleet should have.

    A figure that nobody knows is null in JSON. Exit status 1 if Redis can't be asked.
    """
    settings = settings_from(url)
    with connect(settings, timeout_s=_TIMEOUT_S) as client, outages_told(settings, "reading the fleet"):
        view = autoscale_view(read_signal(client, settings), settings)
    if as_json:
        print(view.model_dump_json(indent=1))
        return
    _tell(view)


def _tell(view: AutoscaleView) -> None:
    processes = view.processes
    noun = "process" if processes.wanted == 1 else "processes"
    out.print(f"{processes.wanted:,} {noun} wanted: {_REASONS[view.reason]}", style="bold", soft_wrap=True)
    out.print(f"{processes.ready:,} ready, {processes.busy:.1f} busy over the last half minute")
    table = Table("class", "queued", "held", "tokens", "oldest, s", "done in, s", box=None)
    for name, queue in view.queues.items():
        table.add_row(
            name,
            f"{queue.queued_jobs:,}",
            f"{queue.held_jobs:,}",
            f"{queue.tokens:,}",
            _seconds(queue.oldest_age_s),
            _seconds(queue.drain_s),
        )
    out.print(table)
    if len(view.pools) > 1:
        out.print(_pools(view.pools))


def _pools(pools: Iterable[PoolView]) -> Table:
    table = Table("model", "pool", "precision", "processes", "jobs", "tokens", "done in, s", box=None)
    for pool in pools:
        jobs = sum(queue.queued_jobs + queue.held_jobs for queue in pool.queues.values())
        tokens = sum(queue.tokens for queue in pool.queues.values())
        names = pool.model or "-", pool.pool, pool.precision or "-"
        table.add_row(*names, f"{pool.processes:,}", f"{jobs:,}", f"{tokens:,}", _seconds(pool.drain_s))
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
