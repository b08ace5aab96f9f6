"""Planning of several models: the processes of each group with which every kind of traffic keeps a latency target.

A size keeps the target if, for each kind, the 95th percentile of requests that were not refused is within it, and at
most one request in 200 was refused or late. All sizes are tried on the same requests. First all groups grow together,
in proportion to their work. Then each gives back what it can, so that no group does with one process fewer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rerank_ops.simulate.arrivals import poisson
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.workload import Mix
from rerank_ops.simulate.planning import WARM_UP, Target, alone_s
from rerank_ops.simulate.pools.mix import Arrival, Pools, Traffic, draw_traffic, kept, work_s
from rerank_ops.simulate.pools.report import PoolsReport, summarise_pools
from rerank_ops.simulate.pools.run import PoolsSimulation
from rerank_ops.simulate.report import percentile
from rerank_ops.simulate.trial import Trial, keeps

#: Limit of processes, as a multiple of the work that there is; beyond it more processes only wait.
_MOST = 256
#: Steps in which the common factor is narrowed down; what is left to find is found group by group.
_STEPS = 4
Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoolsPlan:
    """The plan. `report` None: no number keeps the target.

    `alone_s` is the 95th percentile of each kind's latency while all else is idle, on a fleet of any size. `one_fewer`
    has a report for each group that has more than one process: with one fewer of it.
    """

    target: Target
    alone_s: Mapping[str, float]
    report: PoolsReport | None = None
    one_fewer: Mapping[str, PoolsReport] = field(default_factory=dict)
    tried: int = 0


class PoolsPlanner:
    """Tries sizes of groups on the same requests. The processes of the groups that it is given do not count."""

    def __init__(
        self, target: Target, pools: Pools, policy: Policy, traffic: Sequence[Traffic], mix: Mix, *, requests: int,
        seed: int,
    ) -> None:  # fmt: skip
        self._target = target
        self._pools = replace(pools, groups=tuple(replace(group, processes=1) for group in pools.groups))
        self._policy = policy
        times = poisson(target.rps, requests / target.rps, seed)
        self._arrivals = draw_traffic(traffic, mix, times, seed)
        self._work = work_s(traffic, mix, self._pools)
        self._reports: dict[Sizes, PoolsReport] = {}
        self._tried: dict[Sizes, bool] = {}

    def plan(self) -> PoolsPlan:
        """Return the plan."""
        alone = alone_by_kind(self._arrivals, self._pools)
        whole = None if max(alone.values()) > self._target.p95_s else self._together()
        if whole is None:
            return PoolsPlan(self._target, alone, tried=len(self._tried))
        sizes = whole
        for place in sorted(range(len(whole)), key=lambda place: -whole[place]):
            sizes = self._least(sizes, place)
        fewer = {
            group.name: self._report(_changed(sizes, place, sizes[place] - 1))
            for place, group in enumerate(self._pools.groups)
            if sizes[place] > 1
        }
        return PoolsPlan(self._target, alone, self._report(sizes), fewer, len(self._tried))

    def _together(self) -> Sizes | None:
        """Return sizes that keep the target, of groups that have grown in proportion; None where none do."""
        fails, does = 0.0, 1.0
        while not self._does(self._scaled(does)):
            fails, does = does, 2 * does
            if does > _MOST:
                return None
        for _ in range(_STEPS):
            middle = (fails + does) / 2
            if fails and self._scaled(middle) not in (self._scaled(fails), self._scaled(does)):
                fails, does = (fails, middle) if self._does(self._scaled(middle)) else (middle, does)
        return self._scaled(does)

    def _least(self, sizes: Sizes, place: int) -> Sizes:
        """Return the sizes with as few processes of one group as do."""
        served = [model for group in self._pools.groups for model in group.models]
        # With fewer than the work there is, the backlog grows for ever; unless another group serves the model too.
        fails = self._scaled(1.0)[place] - 1 if len(set(served)) == len(served) else 0
        does = sizes[place]
        while does - fails > 1:
            middle = (fails + does) // 2
            if self._does(_changed(sizes, place, middle)):
                does = middle
            else:
                fails = middle
        return _changed(sizes, place, does)

    def _scaled(self, factor: float) -> Sizes:
        """Return the sizes that have the factor of the work that there is."""
        return tuple(
            max(1, math.floor(factor * self._target.rps * self._work[group.name])) for group in self._pools.groups
        )

    def _report(self, sizes: Sizes) -> PoolsReport:
        if sizes not in self._reports:
            self._reports[sizes] = summarise_pools(self._simulation(sizes).run())
        return self._reports[sizes]

    def _does(self, sizes: Sizes) -> bool:
        """Return whether each kind keeps the target; a run in which one can't any more ends there."""
        if sizes not in self._tried:
            simulation = self._simulation(sizes)
            trials = self._trials(simulation)
            simulation.ended = lambda traffic, call: trials[traffic.name].hear(call)
            result = simulation.run()
            failed = any(trial.failed for trial in trials.values())
            self._tried[sizes] = not failed and self._keeps(self._reports.setdefault(sizes, summarise_pools(result)))
        return self._tried[sizes]

    def _keeps(self, report: PoolsReport) -> bool:
        return all(keeps(row.latencies, self._target.p95_s) for row in report.rows if row.traffic != "all")

    def _trials(self, simulation: PoolsSimulation) -> dict[str, Trial]:
        times: dict[str, list[float]] = {}
        for arrival in self._arrivals:
            times.setdefault(arrival.traffic.name, []).append(arrival.request.at_s)
        p95_s, stop = self._target.p95_s, simulation.loop.stop
        return {name: Trial.of(mine, p95_s, simulation.warm_up_s, stop) for name, mine in times.items()}

    def _simulation(self, sizes: Sizes) -> PoolsSimulation:
        groups = zip(self._pools.groups, sizes, strict=True)
        pools = replace(self._pools, groups=tuple(replace(group, processes=size) for group, size in groups))
        warm_up_s = len(self._arrivals) / self._target.rps * WARM_UP
        return PoolsSimulation(pools, self._policy, self._arrivals, warm_up_s)


def alone_by_kind(arrivals: Sequence[Arrival], pools: Pools) -> dict[str, float]:
    """Return the 95th percentile of latency of each kind, in seconds, if each request finds all processes idle."""
    found: dict[str, list[float]] = {}
    for arrival in arrivals:
        times = found.setdefault(arrival.traffic.name, [])
        times.append(sum(_stage_s(arrival, number, pools) for number in range(len(arrival.traffic.stages))))
    return {name: percentile(sorted(times), 0.95) for name, times in found.items()}


def _stage_s(arrival: Arrival, number: int, pools: Pools) -> float:
    stage, request = arrival.traffic.stages[number], arrival.request
    if stage.keep == "auto":
        # It takes the time that there is.
        return 0.0
    spec, tokens = pools.specs[stage.model], kept(request.tokens, stage)
    return request.slowness * alone_s(tokens, spec.cost, len(tokens)) + spec.hand_off_s


def _changed(sizes: Sizes, place: int, size: int) -> Sizes:
    return (*sizes[:place], size, *sizes[place + 1 :])
