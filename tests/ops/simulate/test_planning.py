"""The planner: the smallest number that does, more for more, and an honest no."""

from __future__ import annotations

import pytest

from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix
from rerank_ops.simulate.planning import Plan, Planner, Target
from rerank_ops.simulate.trial import TOLERATED
from rerank_shared.scheduling.cost import CostParameters

COST = CostParameters(0.0005, 140e-6, 100e-9)


def planned(p95_s: float, rps: float, **mix: float) -> Plan:
    spec = FleetSpec(1, COST)
    wanted = Mix(k=((20, 1.0),), **mix)  # type: ignore[arg-type]
    return Planner.of_mix(Target(p95_s, rps), spec, Policy(), wanted, requests=300, seed=1).plan()


def test_it_is_the_smallest_number_that_does() -> None:
    plan = planned(0.5, 10.0)
    assert plan.processes is not None
    assert plan.report is not None
    assert plan.one_fewer is not None
    assert plan.report.overall.p95_ms <= 500
    assert plan.one_fewer.processes == plan.processes - 1
    missed = plan.one_fewer.overall.shares["late"] + plan.one_fewer.overall.shares["refused"]
    assert plan.one_fewer.overall.p95_ms > 500 or missed > TOLERATED


def test_less_time_and_more_requests_take_more_processes() -> None:
    sizes = [planned(p95_s, 10.0).processes or 0 for p95_s in (2.0, 0.6, 0.3)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    sizes = [planned(0.5, rps).processes or 0 for rps in (2.0, 8.0, 32.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_more_processes_for_less_work_than_one_has() -> None:
    plan = planned(5.0, 0.1)
    assert plan.processes == 1
    assert plan.one_fewer is None


def test_what_one_request_takes_alone_no_number_can_shorten() -> None:
    plan = planned(0.05, 1.0)
    assert plan.processes is None
    assert plan.alone_s > 0.05
    assert plan.tried == ()


def test_a_target_that_refusals_would_keep_is_not_kept() -> None:
    # With a deadline this tight a fleet that is too small refuses, and those it takes are fast.
    plan = planned(0.6, 20.0, deadline_s=0.6)
    assert plan.processes is not None
    small = min(plan.tried, key=lambda report: report.processes)
    assert small.overall.shares["refused"] > TOLERATED
    assert plan.processes > small.processes


def test_requests_that_can_have_no_deadline_kept_need_no_number() -> None:
    plan = planned(10.0, 5.0, deadline_s=0.03)
    assert plan.processes is None
    assert plan.tried


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_plan(seed: int) -> None:
    mix = Mix(k=((20, 1.0),))
    one, other = (
        Planner.of_mix(Target(0.5, 6.0), FleetSpec(1, COST), Policy(), mix, requests=200, seed=seed).plan()
        for _ in range(2)
    )
    assert one == other
