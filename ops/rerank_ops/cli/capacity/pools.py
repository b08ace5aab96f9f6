"""`simulate` and `plan` of several models: what their pools do, and how many processes each needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from rerank_ops.cli.capacity.pool_options import costs_told
from rerank_ops.cli.capacity.simulating import simulating
from rerank_ops.cli.console import out
from rerank_ops.cli.options import NOTHING_KEEPS_IT
from rerank_shared.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerank_ops.simulate.model.policy import Policy
    from rerank_ops.simulate.model.workload import Mix
    from rerank_ops.simulate.planning import Target
    from rerank_ops.simulate.pools.mix import Pools, Traffic
    from rerank_ops.simulate.pools.planning import PoolsPlan

_COST = "ms a run, us a token, ns a token and token of its length"


def simulate_pools(
    pools: Pools, traffic: Sequence[Traffic], policy: Policy, mix: Mix, times: Iterator[float], warm_up: float, *,
    seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Simulate a fleet of several models and print what its requests and processes saw."""
    from rerank_ops.simulate.pools.mix import draw_traffic
    from rerank_ops.simulate.pools.report import summarise_pools
    from rerank_ops.simulate.pools.run import PoolsSimulation
    from rerank_ops.simulate.pools.table import print_pools

    arrivals = draw_traffic(traffic, mix, times, seed)
    if not arrivals:
        raise InvalidRequest("no request comes in that time: simulate a longer --duration or a higher --rps")
    with simulating("a shorter --duration takes less time"):
        report = summarise_pools(PoolsSimulation(pools, policy, arrivals, arrivals[-1].request.at_s * warm_up).run())
    if as_json:
        print(json.dumps({"seed": seed, "costs": costs_told(pools), **report.as_plain()}, indent=1))
        return
    print_pools(report, out)
    _tell_costs(pools)


def plan_pools(
    target: Target, pools: Pools, traffic: Sequence[Traffic], policy: Policy, mix: Mix, *, requests: int, seed: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Find the processes of each pool, and print them with what each would lose by one fewer.

    Exits with a status of its own where no number keeps the target.
    """
    from rerank_ops.simulate.pools.planning import PoolsPlanner

    with simulating("fewer --requests take less time"):
        found = PoolsPlanner(target, pools, policy, traffic, mix, requests=requests, seed=seed).plan()
    if as_json:
        plain = {
            "target": asdict(found.target),
            "alone_p95_ms": {name: 1000 * seconds for name, seconds in found.alone_s.items()},
            "report": None if found.report is None else found.report.as_plain(),
            "one_fewer": {name: report.as_plain() for name, report in found.one_fewer.items()},
            "tried": found.tried,
        }
        print(json.dumps(plain | {"seed": seed, "costs": costs_told(pools)}, indent=1))
    else:
        _tell(found)
        _tell_costs(pools)
    if found.report is None:
        raise typer.Exit(NOTHING_KEEPS_IT)


def _tell(found: PoolsPlan) -> None:
    from rerank_ops.simulate.pools.table import print_pools
    from rerank_ops.simulate.table import milliseconds

    target = f"p95 within {milliseconds(1000 * found.target.p95_s)} ms at {found.target.rps:g} requests/s"
    if found.report is None:
        slowest = max(found.alone_s, key=lambda name: found.alone_s[name])
        alone = milliseconds(1000 * found.alone_s[slowest])
        longer = ", split as far as it pays" if found.alone_s[slowest] > found.target.p95_s else ", and no number did"
        out.print(
            f"no number of processes keeps {target}: 95 of 100 requests of {slowest} take up to {alone} ms with the "
            f"whole fleet idle{longer}",
            style="bold", soft_wrap=True,
        )  # fmt: skip
        return
    sizes = ", ".join(f"{group.pool} {group.processes:,}" for group in found.report.groups)
    every = sum(group.processes for group in found.report.groups)
    out.print(f"{every:,} processes keep {target}: {sizes}", style="bold", soft_wrap=True)
    print_pools(found.report, out, found.one_fewer)


def _tell_costs(pools: Pools) -> None:
    told = "; ".join(f"{model} {cost}" for model, cost in costs_told(pools).items())
    out.print(f"\ncost: {told} ({_COST})", style="dim", soft_wrap=True)
