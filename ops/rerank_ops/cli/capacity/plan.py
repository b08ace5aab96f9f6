"""`rerank-fleet plan`: finds the number of processes that a latency target needs."""

from __future__ import annotations

import json
from dataclasses import asdict
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
from rerank_ops.cli.capacity.pools import plan_pools
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
    cost_of,
    cost_text,
    tell_cost,
)
from rerank_ops.cli.console import out
from rerank_ops.cli.options import NOTHING_KEEPS_IT, AsJson, RedisUrl, settings_from

if TYPE_CHECKING:
    from rerank_ops.simulate.planning import Plan

P95 = Annotated[
    float, typer.Option("--p95-ms", metavar="MS", min=1.0, help="Target: latency that 95 of 100 requests must keep.")
]
Rps = Annotated[float, typer.Option("--rps", metavar="R", min=0.001, help="Requests a second.")]
PolicyWords = Annotated[str, typer.Option("--policy", metavar="WORDS", help="Rules, as in `simulate`.")]
Requests = Annotated[
    int, typer.Option("--requests", metavar="N", min=100, help="Requests of each trial; more are surer and slower.")
]


def plan(
    p95_ms: P95,
    rps: Rps,
    k: K = "50",
    tokens: Tokens = 100.0,
    spread: Spread = 0.43,
    deadline_ms: DeadlineMs = 30_000.0,
    policy: PolicyWords = "edf",
    cost: CostText = None,
    from_fleet: FromFleet = False,
    hand_off_ms: HandOffMs = 5.0,
    noise: Noise = 0.1,
    requests: Requests = 3_000,
    seed: Seed = 1,
    as_json: AsJson = False,
    models: Models = None,
    traffic: TrafficText = None,
    route: RouteName = None,
    route_file: RouteFile = None,
    pools: PoolTexts = None,
    url: RedisUrl = None,
) -> None:
    """Find by simulation the smallest number of processes that keeps a 95th percentile of latency at a request rate.

    At most one request in 200 may be refused or late. Refused requests do not count in the percentile. Nothing is
    cached. Exit status 3 if no number keeps it.
    """
    from rerank_ops.simulate.model.policy import Policy
    from rerank_ops.simulate.model.spec import FleetSpec
    from rerank_ops.simulate.model.workload import Mix
    from rerank_ops.simulate.planning import Planner, Target

    settings = settings_from(url)
    mix = Mix(
        k=candidates(k),
        mean_tokens=tokens,
        spread=spread,
        max_tokens=settings.max_length or 512,
        deadline_s=deadline_ms / 1000,
        noise=noise,
    )
    target, rules = Target(p95_ms / 1000, rps), Policy().varied(policy)
    several = Asked.of(models, traffic, route, route_file, pools)
    if several.wanted:
        several.refuse(cost=cost, from_fleet=from_fleet)
        fleet, kinds = pools_asked(several, settings, hand_off_ms / 1000, None, mix)
        plan_pools(target, fleet, kinds, rules, mix, requests=requests, seed=seed, as_json=as_json)
        return
    running = cost_of(settings, cost, from_fleet=from_fleet)
    spec = FleetSpec.of(settings, 1, running, hand_off_s=hand_off_ms / 1000)
    with simulating("fewer --requests take less time"):
        found = Planner.of_mix(target, spec, rules, mix, requests=requests, seed=seed).plan()
    if as_json:
        print(json.dumps(_plain(found) | {"seed": seed, "cost": cost_text(running)}, indent=1))
    else:
        _tell(found)
        tell_cost(running)
    if found.processes is None:
        raise typer.Exit(NOTHING_KEEPS_IT)


def _plain(found: Plan) -> dict[str, Any]:
    reports = {"report": found.report, "one_fewer": found.one_fewer}
    return {
        "target": asdict(found.target),
        "alone_p95_ms": 1000 * found.alone_s,
        "processes": found.processes,
        **{name: None if report is None else report.as_plain() for name, report in reports.items()},
        "tried": [report.as_plain() for report in found.tried],
    }


def _tell(found: Plan) -> None:
    from rerank_ops.simulate.table import milliseconds, print_trials, share

    target = f"p95 within {milliseconds(1000 * found.target.p95_s)} ms at {found.target.rps:g} requests/s"
    if found.processes is None or found.report is None:
        alone = f"95 of 100 requests take up to {milliseconds(1000 * found.alone_s)} ms with the whole fleet idle"
        longer = ", split as far as it pays" if found.alone_s > found.target.p95_s else ", and no number tried did"
        out.print(f"no number of processes keeps {target}: {alone}{longer}", style="bold", soft_wrap=True)
    else:
        row = found.report.overall
        word = "process keeps" if found.processes == 1 else "processes keep"
        out.print(f"{found.processes:,} {word} {target}", style="bold")
        out.print(f"p95 {milliseconds(row.p95_ms)} ms, {share(found.report.utilisation)} busy")
        if found.one_fewer is not None:
            fewer = found.one_fewer
            lost = share(fewer.overall.shares["refused"] + fewer.overall.shares["late"])
            p95 = milliseconds(fewer.overall.p95_ms)
            out.print(f"one fewer: p95 {p95} ms, {share(fewer.utilisation)} busy, {lost} refused or late")
    if found.tried:
        out.print()
        print_trials(found.tried, out)
