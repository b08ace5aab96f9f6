"""`rerank-fleet simulate`: simulates a fleet on a virtual clock, run by the real policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_ops.cli.capacity.pool_options import (
    Asked,
    Models,
    PoolTexts,
    RouteFile,
    RouteName,
    TrafficText,
    pools_asked,
)
from rerank_ops.cli.capacity.pools import simulate_pools
from rerank_ops.cli.capacity.simulate_autoscale import Asked as Scaled
from rerank_ops.cli.capacity.simulate_autoscale import (
    AutoscaleFlag,
    Cooldown,
    Least,
    Most,
    StartS,
    TargetBacklog,
    TargetP95,
    run_autoscaled,
)
from rerank_ops.cli.capacity.simulating import simulating
from rerank_ops.cli.capacity.workload_options import (
    CostText,
    DeadlineMs,
    FromFleet,
    HandOffMs,
    K,
    Noise,
    Seed,
    Spread,
    Tokens,
    candidates,
    choices,
    cost_of,
    cost_text,
    tell_cost,
)
from rerank_ops.cli.console import out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings

if TYPE_CHECKING:
    from rerank_ops.simulate.model.policy import Policy
    from rerank_ops.simulate.model.spec import FleetSpec
    from rerank_ops.simulate.model.workload import Mix, Request

#: Defaults where neither rate nor duration is given; each process should get a few requests.
_LOAD, _REQUESTS, _REQUESTS_A_PROCESS = 0.7, 5_000, 3

Processes = Annotated[int, typer.Option("--processes", "-p", metavar="N", min=1, help="Worker processes of each host.")]
Hosts = Annotated[int, typer.Option("--hosts", metavar="N", min=1, help="Hosts with --processes processes each.")]
Arrivals = Annotated[
    str | None,
    typer.Option(
        "--arrivals",
        metavar="KIND",
        help="poisson, the default; bursts: 1 s in 5, five times as dense; or a file of recorded requests: JSON lines "
        "with at_s, k, tokens (a list, or their mean), class, tenant, deadline_ms, query. With --autoscale also step, "
        "ramp, boundary, square, minutely or day, and all of these by default.",
    ),
]
Rps = Annotated[float | None, typer.Option("--rps", metavar="R", min=0.001, help="Requests a second.")]
Load = Annotated[
    float | None,
    typer.Option(
        "--load", metavar="SHARE", min=0.001, help="Request rate as a share of capacity, instead of --rps. Unset: 0.7."
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration", metavar="S", min=0.001, help="Simulated seconds. Unset: 5,000 requests, or 3 a process."
    ),
]
WarmUp = Annotated[
    float,
    typer.Option(
        "--warm-up", metavar="SHARE", min=0.0, max=0.9, help="Share of the time at the start that does not count."
    ),
]
Tight = Annotated[float, typer.Option("--tight", metavar="SHARE", min=0.0, max=1.0, help="Share of tight deadlines.")]
TightMs = Annotated[float, typer.Option("--tight-ms", metavar="MS", min=1.0, help="The tight deadline.")]
Bulk = Annotated[float, typer.Option("--bulk", metavar="SHARE", min=0.0, max=1.0, help="Share of class bulk.")]
BulkMs = Annotated[float, typer.Option("--bulk-ms", metavar="MS", min=1.0, help="Deadline of bulk requests.")]
Tenants = Annotated[
    str, typer.Option("--tenants", metavar="LIST", help="Tenants with their shares of requests, as in a:3,b:1.")
]
Queries = Annotated[
    int, typer.Option("--queries", metavar="N", min=0, help="Number of different queries; 0: all differ.")
]
Zipf = Annotated[float, typer.Option("--zipf", min=0.0, help="The n-th most frequent query is asked n^-ZIPF as often.")]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="WORDS",
        help="Rules: edf, slack or fifo, and shard, refuse, gate, floor or no- before one, as in edf+no-shard.",
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        "--compare", metavar="LIST", help="Policies to compare on the same requests, as in fifo,edf,edf+no-shard."
    ),
]
PlotFile = Annotated[Path | None, typer.Option("--plot", metavar="PNG", help="File to draw a picture into.")]


def simulate(
    processes: Processes = 2,
    hosts: Hosts = 1,
    arrivals: Arrivals = None,
    rps: Rps = None,
    load: Load = None,
    duration: Duration = None,
    warm_up: WarmUp = 0.1,
    k: K = "50",
    tokens: Tokens = 100.0,
    spread: Spread = 0.43,
    deadline_ms: DeadlineMs = 30_000.0,
    tight: Tight = 0.0,
    tight_ms: TightMs = 500.0,
    bulk: Bulk = 0.0,
    bulk_ms: BulkMs = 3_600_000.0,
    tenants: Tenants = "",
    queries: Queries = 0,
    zipf: Zipf = 1.0,
    policy: PolicyOption = "edf",
    compare: Compare = None,
    cost: CostText = None,
    from_fleet: FromFleet = False,
    hand_off_ms: HandOffMs = 5.0,
    noise: Noise = 0.1,
    seed: Seed = 1,
    as_json: AsJson = False,
    plot: PlotFile = None,
    autoscale: AutoscaleFlag = False,
    least: Least = None,
    most: Most = None,
    target_backlog_s: TargetBacklog = None,
    cooldown_s: Cooldown = None,
    start_s: StartS = 1.0,
    p95_ms: TargetP95 = 2_000.0,
    models: Models = None,
    traffic: TrafficText = None,
    route: RouteName = None,
    route_file: RouteFile = None,
    pools: PoolTexts = None,
    url: RedisUrl = None,
) -> None:
    """Simulate a fleet: latencies, deadlines and load, under the policies and settings of the real one.

    The fleet's own code decides batches, gate, fairness, shards, refusals and urgency, on a virtual clock. A run
    takes the time that the cost model predicts, times random noise. The same seed gives the same result.
    """
    from rerank_ops.simulate.model.policy import Policy
    from rerank_ops.simulate.model.spec import FleetSpec
    from rerank_ops.simulate.model.workload import Mix

    if rps is not None and load is not None:
        raise InvalidRequest("--rps and --load say the same: give one")
    policies = {name: Policy().varied(name) for name in (compare or policy).split(",")}
    settings = settings_from(url)
    mix = Mix(
        k=candidates(k),
        mean_tokens=tokens,
        spread=spread,
        max_tokens=settings.max_length or 512,
        deadline_s=deadline_ms / 1000,
        tight_share=tight,
        tight_deadline_s=tight_ms / 1000,
        bulk_share=bulk,
        bulk_deadline_s=bulk_ms / 1000,
        tenants=choices(tenants, "tenants", str),
        queries=queries,
        zipf=zipf,
        noise=noise,
    )
    rate = _Rate(rps, load, duration)
    several = Asked.of(models, traffic, route, route_file, pools)
    if several.wanted:
        several.refuse(cost=cost, from_fleet=from_fleet, compare=compare, plot=plot, autoscale=autoscale)
        _several(several, settings, arrivals, rate, mix, policies[policy], processes * hosts, warm_up,
                 hand_off_s=hand_off_ms / 1000, seed=seed, as_json=as_json)  # fmt: skip
        return
    running = cost_of(settings, cost, from_fleet=from_fleet)
    spec = FleetSpec.of(settings, processes * hosts, running, hand_off_s=hand_off_ms / 1000)
    told = {"seed": seed, "cost": cost_text(running)} if as_json else None
    if autoscale:
        if compare or plot:
            raise InvalidRequest("--compare and --plot are for fleets that keep their size, not for --autoscale")
        loads = _loads(arrivals, rate, mix, spec, seed)
        asked = Scaled.of(settings, spec.processes, least, most, target_backlog_s, cooldown_s, start_s, p95_ms)
        run_autoscaled(spec, policies[policy], loads, asked, told)
        return
    requests = _requests(arrivals or "poisson", rate, mix, spec, seed)
    _run(
        spec,
        policies,
        requests,
        warm_up,
        plot=plot,
        told=told,
    )


@dataclass(frozen=True, slots=True)
class _Rate:
    """The rate of drawn requests and their duration; None where the option is unset."""

    rps: float | None
    load: float | None
    duration_s: float | None


def _several(
    asked: Asked, settings: Settings, arrivals: str | None, rate: _Rate, mix: Mix, policy: Policy, processes: int,
    warm_up: float, *, hand_off_s: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Simulate several models; `processes` are those of a pool without a number."""
    from rerank_ops.simulate.arrivals import bursts, poisson
    from rerank_ops.simulate.pools.mix import rate_at

    if arrivals not in (None, "poisson", "bursts"):
        raise InvalidRequest("--arrivals: poisson or bursts expected with several models")
    pools, traffic = pools_asked(asked, settings, hand_off_s, processes, mix)
    rps = rate.rps or rate_at(_LOAD if rate.load is None else rate.load, traffic, mix, pools)
    many = max(_REQUESTS, _REQUESTS_A_PROCESS * sum(group.processes for group in pools.groups))
    times = (bursts if arrivals == "bursts" else poisson)(rps, rate.duration_s or many / rps, seed)
    simulate_pools(pools, traffic, policy, mix, times, warm_up, seed=seed, as_json=as_json)


def _requests(arrivals: str, rate: _Rate, mix: Mix, spec: FleetSpec, seed: int) -> list[Request]:
    from rerank_ops.simulate.arrivals import bursts, poisson, recorded
    from rerank_ops.simulate.model.workload import draw

    if arrivals not in ("poisson", "bursts"):
        if (rate.rps, rate.load, rate.duration_s) != (None, None, None):
            raise InvalidRequest("--rps, --load and --duration are for requests that are drawn, not for recorded ones")
        return recorded(Path(arrivals), mix, seed)
    rps = _rps(rate, mix, spec)
    times = (bursts if arrivals == "bursts" else poisson)(
        rps, rate.duration_s or max(_REQUESTS, _REQUESTS_A_PROCESS * spec.processes) / rps, seed
    )
    requests = draw(mix, times, seed)
    if not requests:
        raise InvalidRequest("no request comes in that time: simulate a longer --duration or a higher --rps")
    return requests


def _loads(arrivals: str | None, rate: _Rate, mix: Mix, spec: FleetSpec, seed: int) -> dict[str, list[Request]]:
    """Return the requests of each load that a fleet is scaled under."""
    from rerank_ops.simulate.autoscale.shapes import SHAPES, times
    from rerank_ops.simulate.model.workload import draw

    if arrivals is not None and arrivals not in SHAPES:
        return {arrivals: _requests(arrivals, rate, mix, spec, seed)}
    if rate.duration_s is not None:
        raise InvalidRequest("--duration goes with poisson and bursts: a shape of load has its own")
    rps = _rps(rate, mix, spec)
    return {name: draw(mix, times(SHAPES[name], rps, seed), seed) for name in ([arrivals] if arrivals else SHAPES)}


def _rps(rate: _Rate, mix: Mix, spec: FleetSpec) -> float:
    from rerank_ops.simulate.planning import rate_at

    return rate.rps or rate_at(_LOAD if rate.load is None else rate.load, mix, spec)


def _run(
    spec: FleetSpec,
    policies: Mapping[str, Policy],
    requests: list[Request],
    warm_up: float,
    *,
    plot: Path | None,
    told: dict[str, Any] | None,
) -> None:
    """Simulate each policy and print the reports: as JSON together with `told`, or as tables where that is None."""
    from rerank_ops.simulate.model.run import simulate as run
    from rerank_ops.simulate.plot import draw_reports, require_matplotlib
    from rerank_ops.simulate.report import summarise
    from rerank_ops.simulate.table import print_reports

    if plot is not None:
        require_matplotlib()
    with simulating("a shorter --duration takes less time"):
        results = [run(spec, policy, requests, requests[-1].at_s * warm_up) for policy in policies.values()]
    reports = [summarise(name, result) for name, result in zip(policies, results, strict=True)]
    if plot is not None:
        draw_reports(results, reports, plot)
    if told is not None:
        print(json.dumps(told | {"reports": [report.as_plain() for report in reports]}, indent=1))
        return
    print_reports(reports, out)
    tell_cost(spec.cost)
    if plot is not None:
        out.print(f"drawn: {plot}", soft_wrap=True)
