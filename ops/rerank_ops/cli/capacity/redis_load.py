"""`rerank-fleet redis-load`: computes the largest fleet that one Redis carries, and the limit that it meets first."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rerank_ops.cli.capacity.workload_options import CostText, FromFleet, cost_of
from rerank_ops.cli.console import out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.errors import InvalidRequest
from rerank_shared.scheduling.cost import Work

if TYPE_CHECKING:
    from rerank_ops.simulate.redis_load import RedisLoad

ProcessList = Annotated[
    str, typer.Option("--processes", "-p", metavar="LIST", help="Sizes of the fleet, in worker processes.")
]
Load = Annotated[
    float, typer.Option("--load", metavar="SHARE", min=0.001, max=1.0, help="Share of the fleet that is busy.")
]
Pairs = Annotated[int, typer.Option("--k", metavar="N", min=1, help="Uncached pairs of a request.")]
TokenCount = Annotated[float, typer.Option("--tokens", metavar="N", min=1.0, help="Tokens of a pair.")]
Jobs = Annotated[
    float | None,
    typer.Option("--jobs", metavar="N", min=1.0, help="Jobs that a request is split into. Unset: as clients split it."),
]
Clients = Annotated[int, typer.Option("--clients", metavar="N", min=1, help="Processes that send requests.")]
Cancelled = Annotated[
    float,
    typer.Option(
        "--cancelled",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="Share of requests cancelled; each is sent to all workers.",
    ),
]
Commands = Annotated[
    float,
    typer.Option(
        "--limit",
        metavar="N",
        min=1.0,
        help="Commands a second that your server does; measure it with `redis-benchmark -t get`.",
    ),
]
Connections = Annotated[
    int, typer.Option("--maxclients", metavar="N", min=1, help="Connections that the server allows.")
]
Gbit = Annotated[float, typer.Option("--gbit", metavar="N", min=0.001, help="Network of the server, Gbit/s each way.")]


def redis_load(
    processes: ProcessList = "100,1000,10000",
    load: Load = 0.7,
    k: Pairs = 50,
    tokens: TokenCount = 100.0,
    jobs: Jobs = None,
    clients: Clients = 50,
    cancelled: Cancelled = 0.001,
    limit: Commands = 100_000.0,
    maxclients: Connections = 10_000,
    gbit: Gbit = 10.0,
    cost: CostText = None,
    from_fleet: FromFleet = False,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Compute the load of fleets of several sizes on one Redis, and the limit that each meets first.

    Commands are weighed by server time: a command in a pipeline or a script costs less than a single one.
    """
    from rerank_ops.simulate.redis_load import Limits, Shape, reach
    from rerank_ops.simulate.redis_load import redis_load as load_of

    running = cost_of(settings_from(url), cost, from_fleet=from_fleet)
    shape = Shape(k * running.predict_s(Work.pair(tokens)), load, k, tokens, jobs, clients, cancelled)
    limits = Limits(limit, maxclients, gbit)
    loads = [load_of(size, shape, limits) for size in _sizes(processes)]
    if as_json:
        told = [asdict(each) | {"first": each.first[0]} for each in loads]
        print(json.dumps({"loads": told, "reach": reach(shape, limits)}, indent=1))
        return
    out.print(f"{load:.0%} busy, {k} pairs of {tokens:g} tokens a request, {clients} clients", style="bold")
    out.print(_table(loads))
    carried = [f"{size:,} by its {name}" for name, size in reach(shape, limits).items()]
    out.print(f"\none server carries, in processes: {', '.join(carried)}")


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise InvalidRequest(f"--processes: numbers like 100,1000 expected, not {text!r}")
    return sizes


def _table(loads: list[RedisLoad]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("processes")
    for load in loads:
        table.add_column(f"{load.processes:,}", justify="right")

    def row(name: str, values: list[str]) -> None:
        table.add_row(name, *values)

    row("requests/s", [f"{load.requests_per_s:,.0f}" for load in loads])
    row("jobs a request", [f"{load.jobs_a_request:g}" for load in loads])
    for group in loads[0].commands_per_s:
        row(f"commands/s, {group}", [f"{load.commands_per_s[group]:,.0f}" for load in loads])
    row("commands/s", [f"{sum(load.commands_per_s.values()):,.0f}" for load in loads])
    row("connections", [f"{load.connections:,}" for load in loads])
    row("heartbeats, MB/s", [f"{load.heartbeat_bytes_per_s / 1e6:,.1f}" for load in loads])
    row("deliveries/s", [f"{load.deliveries_per_s:,.0f}" for load in loads])
    row("entries of the backlog", [f"{load.backlog_entries:,.0f}" for load in loads])
    row("backlog read, MB/s", [f"{load.backlog_bytes_per_s / 1e6:,.1f}" for load in loads])
    row("in, MB/s", [f"{load.bytes_in_per_s / 1e6:,.1f}" for load in loads])
    row("out, MB/s", [f"{load.bytes_out_per_s / 1e6:,.1f}" for load in loads])
    for limit in loads[0].used:
        row(f"of the limit: {limit}", [f"{load.used[limit]:.1%}" for load in loads])
    row("ends first", [_verdict(load) for load in loads])
    return table


def _verdict(load: RedisLoad) -> str:
    name, used = load.first
    return f"{name}, {used:.1f} x" if used > 1 else "nothing"
