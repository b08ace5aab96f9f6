"""Comparison: one load on a scaled fleet, and on fixed ones of its mean and of its peak size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rerank_ops.simulate.autoscale.account import Account, account
from rerank_ops.simulate.model.autoscaler import Autoscaling
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request

#: Seconds at the start that do not count: a fleet begins with the fewest processes.
_WARM_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The accounts of one load: the scaled fleet first."""

    load: str
    requests: int
    accounts: tuple[Account, ...]


def compare(
    load: str, spec: FleetSpec, policy: Policy, requests: Sequence[Request], scaling: Autoscaling, target_s: float
) -> Comparison:
    """Return the accounts of one load. Raises InvalidRequest if it is shorter than a minute."""
    least = scaling.bounds.min_processes
    result = simulate(replace(spec, processes=least), policy, requests, _WARM_UP_S, scaling)
    scaled = account("scaled", result, target_s, least)
    mean = math.ceil(result.process_s / (result.meter.ends - result.meter.begins))
    accounts = [scaled]
    for name, processes in (("mean", mean), ("peak", scaled.peak)):
        fixed = simulate(replace(spec, processes=max(1, processes)), policy, requests, _WARM_UP_S)
        accounts.append(account(name, fixed, target_s, least))
    return Comparison(load, len(requests), tuple(accounts))
