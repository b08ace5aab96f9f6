"""Planning: finds the smallest number of processes with which a simulated fleet keeps a latency target.

It also computes a fleet's capacity, from the mean time of a request on one process. A number of processes keeps the
target if the 95th percentile of all requests that were not refused is within it, and at most one request in 200 was
refused or late. A partial answer counts with its deadline as its latency. All numbers are tried on the same requests,
so that they are compared under the same random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

from rerank_ops.simulate.arrivals import poisson
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import Simulation
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix, Request, draw
from rerank_ops.simulate.report import Report, percentile, summarise
from rerank_ops.simulate.trial import Trial, keeps
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.scheduling.sharding import shard_count, split

#: Requests drawn to compute the mean; their seed is fixed, so that a rate does not depend on the run's seed.
_SAMPLE, _SEED = 1_000, 0
#: Share of the time at the start that does not count: it only fills the fleet.
WARM_UP = 0.2
#: Limit of processes, as a multiple of the least number; beyond it more processes only wait.
_MOST = 256


@dataclass(frozen=True, slots=True)
class Target:
    """The target: 95 of 100 requests within `p95_s`, at `rps` requests a second."""

    p95_s: float
    rps: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan. `processes` None: no number keeps the target. `alone_s` is the 95th percentile of latency on an idle
    fleet of any size."""

    target: Target
    alone_s: float
    processes: int | None
    report: Report | None
    one_fewer: Report | None
    tried: tuple[Report, ...]


class Planner:
    """Tries numbers of processes on the same requests, which arrive in the order given."""

    def __init__(
        self, target: Target, spec: FleetSpec, policy: Policy, requests: Sequence[Request], *, work_s: float
    ) -> None:
        """`work_s` is the mean time of one process for a request."""
        self._target = target
        self._spec = spec
        self._policy = policy
        self._work_s = work_s
        self._warm_up_s = len(requests) / target.rps * WARM_UP
        self._requests = requests
        self._reports: dict[int, Report] = {}

    @classmethod
    def of_mix(cls, target: Target, spec: FleetSpec, policy: Policy, mix: Mix, *, requests: int, seed: int) -> Planner:
        """Return one for about so many requests, drawn from a mix."""
        drawn = draw(mix, poisson(target.rps, requests / target.rps, seed), seed)
        return cls(target, spec, policy, drawn, work_s=request_s(mix, spec.cost))

    def plan(self) -> Plan:
        """Return the plan with the smallest number of processes that keeps the target, and a report of each tried."""
        alone_s = alone(self._requests, self._spec)
        return self._answer(alone_s, self._smallest(alone_s, self._does))

    def least(self) -> int | None:
        """Return the number of processes in the plan alone, which is sooner known; None: no number keeps the target."""
        return self._smallest(alone(self._requests, self._spec), self._keeps)

    def _smallest(self, alone_s: float, does: Callable[[int], bool]) -> int | None:
        least = max(1, math.floor(self._target.rps * self._work_s))
        if alone_s > self._target.p95_s:
            return None
        most = least
        while not does(most):
            if most > least * _MOST:
                return None
            most *= 2
        fails = most // 2 if most > least else 0
        while most - fails > 1:
            middle = (fails + most) // 2
            if does(middle):
                most = middle
            else:
                fails = middle
        return most

    def report(self, processes: int) -> Report:
        """Return the report of a fleet of this many processes."""
        if processes not in self._reports:
            self._reports[processes] = summarise(f"{processes:,}", self._simulation(processes).run())
        return self._reports[processes]

    def _does(self, processes: int) -> bool:
        return keeps(self.report(processes).overall, self._target.p95_s)

    def _keeps(self, processes: int) -> bool:
        """Return the same, without a report of a fleet that does not."""
        simulation = self._simulation(processes)
        times = (request.at_s for request in self._requests)
        trial = Trial.of(times, self._target.p95_s, self._warm_up_s, simulation.loop.stop)
        simulation.ended = trial.hear
        result = simulation.run()
        return not trial.failed and keeps(summarise("", result).overall, self._target.p95_s)

    def _simulation(self, processes: int) -> Simulation:
        return Simulation(replace(self._spec, processes=processes), self._policy, self._requests, self._warm_up_s)

    def _answer(self, alone_s: float, processes: int | None) -> Plan:
        report = None if processes is None else self.report(processes)
        fewer = None if processes is None or processes == 1 else self.report(processes - 1)
        tried = tuple(self._reports[number] for number in sorted(self._reports))
        return Plan(self._target, alone_s, processes, report, fewer, tried)


def alone(requests: Sequence[Request], spec: FleetSpec) -> float:
    """Return the 95th percentile of latency, in seconds, if each request finds all processes idle."""
    times = (
        request.slowness * alone_s(request.tokens, spec.cost, len(request.tokens)) + spec.hand_off_s
        for request in requests
    )
    return percentile(sorted(times), 0.95)


def alone_s(lengths: Sequence[int], cost: CostParameters, processes: int) -> float:
    """Return the seconds that pairs of these lengths, in tokens, run for on so many idle processes."""
    run_s = cost.predict_s(Work.of(lengths))
    parts = split(lengths, shard_count(run_s=run_s, pairs=len(lengths), processes=processes))
    return max(cost.predict_s(Work.of(lengths[i] for i in part)) for part in parts)


def request_s(mix: Mix, cost: CostParameters) -> float:
    """Return the mean seconds of one process for a request without cached pairs."""
    times = (cost.predict_s(Work.of(request.tokens)) for request in draw(mix, repeat(0.0, _SAMPLE), _SEED))
    return sum(times) / _SAMPLE


def rate_at(load: float, mix: Mix, spec: FleetSpec) -> float:
    """Return the requests a second that keep the share `load` of the processes busy, without cache and refusals."""
    return load * spec.processes / request_s(mix, spec.cost)
