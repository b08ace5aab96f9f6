"""`rerank-fleet simulate --autoscale`: simulates a fleet that grows and shrinks, beside fixed ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_ops.cli.capacity.workload_options import tell_cost
from rerank_ops.cli.console import err, out
from rerank_shared.errors import InvalidRequest
from rerank_shared.scheduling.autoscaling import Bounds
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import bounds_of

if TYPE_CHECKING:
    from rerank_ops.simulate.model.policy import Policy
    from rerank_ops.simulate.model.spec import FleetSpec
    from rerank_ops.simulate.model.workload import Request

AutoscaleFlag = Annotated[
    bool,
    typer.Option(
        "--autoscale",
        help="Let the fleet grow and shrink by the autoscaling policy; the peak of the load is for --processes.",
    ),
]
Least = Annotated[
    int | None, typer.Option("--min", metavar="N", min=0, help="Fewest processes. Unset: RERANK_MIN_PROCESSES.")
]
Most = Annotated[
    int | None,
    typer.Option(
        "--max", metavar="N", min=1, help="Most processes. Unset: RERANK_MAX_PROCESSES, or twice --processes."
    ),
]
TargetBacklog = Annotated[
    float | None,
    typer.Option("--target-backlog-s", metavar="S", min=0.001, help="Unset: RERANK_TARGET_BACKLOG_S."),
]
Cooldown = Annotated[
    float | None, typer.Option("--cooldown-s", metavar="S", min=10.0, max=1_800.0, help="Unset: RERANK_COOLDOWN_S.")
]
StartS = Annotated[
    float,
    typer.Option(
        "--start-s", metavar="S", min=0.0, help="Until a new process is ready: 1 on a host, 30 or so as a pod."
    ),
]
TargetP95 = Annotated[
    float, typer.Option("--p95-ms", metavar="MS", min=1.0, help="The 95th percentile that --autoscale is held against.")
]


@dataclass(frozen=True, slots=True)
class Asked:
    """How the fleet is scaled, and the latency that it is held against."""

    bounds: Bounds
    start_s: float
    target_s: float

    @classmethod
    def of(
        cls,
        settings: Settings,
        processes: int,
        least: int | None,
        most: int | None,
        target_backlog_s: float | None,
        cooldown_s: float | None,
        start_s: float,
        p95_ms: float,
    ) -> Asked:
        """Return what is asked: options, else settings. Raises InvalidRequest."""
        known = bounds_of(settings)
        bounds = replace(
            known,
            min_processes=known.min_processes if least is None else least,
            max_processes=most or known.max_processes or 2 * processes,
            target_backlog_s=target_backlog_s or known.target_backlog_s,
            cooldown_s=cooldown_s or known.cooldown_s,
        )
        if bounds.max_processes is not None and bounds.min_processes > bounds.max_processes:
            raise InvalidRequest(f"--min: at most --max expected, which is {bounds.max_processes}")
        return cls(bounds, start_s, p95_ms / 1000)


def run_autoscaled(
    spec: FleetSpec, policy: Policy, loads: Mapping[str, list[Request]], asked: Asked, told: dict[str, Any] | None
) -> None:
    """Simulate each load and print the accounts: as JSON together with `told`, or as a table where that is None."""
    from rerank_ops.simulate.autoscale.compare import compare
    from rerank_ops.simulate.autoscale.table import print_comparisons
    from rerank_ops.simulate.model.autoscaler import Autoscaling

    scaling = Autoscaling(asked.bounds, asked.start_s)
    with err.status("simulating"):
        found = [compare(name, spec, policy, some, scaling, asked.target_s) for name, some in loads.items()]
    if told is not None:
        print(json.dumps(told | {"loads": [asdict(each) for each in found]}, indent=1))
        return
    print_comparisons(found, asked.target_s, out)
    tell_cost(spec.cost)
