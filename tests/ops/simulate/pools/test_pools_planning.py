"""The plan of several models: no group does with one process fewer, and an honest no."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix
from rerank_ops.simulate.planning import Planner, Target
from rerank_ops.simulate.pools.mix import Group, Pools, Traffic
from rerank_ops.simulate.pools.planning import PoolsPlan, PoolsPlanner
from rerank_ops.simulate.pools.report import PoolsReport
from rerank_ops.simulate.trial import TOLERATED
from rerank_shared.routing.route import Stage
from rerank_shared.scheduling.cost import CostParameters

BIG = FleetSpec(1, CostParameters(0.0005, 140e-6, 100e-9))
SMALL = replace(BIG, cost=CostParameters(0.0005, 35e-6, 25e-9))
SPECS = {"small": SMALL, "big": BIG}
APART = (Group(("small",), 1), Group(("big",), 1))
CASCADE = Traffic((Stage("small"), Stage("big", 5)), 1.0)
BOTH = (Traffic((Stage("small"),), 3.0), CASCADE)
MIX = Mix(k=((20, 1.0),))


def planned(
    p95_s: float, rps: float, traffic: tuple[Traffic, ...] = BOTH, groups: tuple[Group, ...] = APART
) -> PoolsPlan:
    planner = PoolsPlanner(Target(p95_s, rps), Pools(SPECS, groups), Policy(), traffic, MIX, requests=200, seed=1)
    return planner.plan()


def keeps(report: PoolsReport, p95_s: float) -> bool:
    rows = [row.latencies for row in report.rows if row.traffic != "all"]
    return all(row.p95_ms <= 1000 * p95_s and row.shares["refused"] + row.shares["late"] <= TOLERATED for row in rows)


def test_every_kind_keeps_the_target_and_no_group_does_with_one_fewer() -> None:
    plan = planned(0.4, 20.0)
    assert plan.report is not None
    assert keeps(plan.report, 0.4)
    sizes = {group.pool: group.processes for group in plan.report.groups}
    assert plan.one_fewer.keys() == {name for name, size in sizes.items() if size > 1}
    for name, report in plan.one_fewer.items():
        fewer = {group.pool: group.processes for group in report.groups}
        assert fewer == sizes | {name: sizes[name] - 1}
        assert not keeps(report, 0.4)


def test_one_model_needs_what_it_needs_without_pools() -> None:
    traffic = (Traffic((Stage("big"),)),)
    pools = planned(0.5, 10.0, traffic, (Group(("big",), 1),))
    alone = Planner.of_mix(Target(0.5, 10.0), BIG, Policy(), MIX, requests=200, seed=1).plan()
    assert pools.report is not None
    assert pools.report.groups[0].processes == alone.processes
    assert pools.alone_s["big"] == pytest.approx(alone.alone_s)


def test_processes_that_serve_both_are_found_as_one_group() -> None:
    plan = planned(0.4, 20.0, groups=(Group(("small", "big"), 1),))
    assert plan.report is not None
    assert [group.pool for group in plan.report.groups] == ["small+big"]
    assert keeps(plan.report, 0.4)


def test_a_group_beside_another_that_serves_its_model_too_gives_back_what_it_can() -> None:
    plan = planned(0.6, 10.0, groups=(Group(("small", "big"), 1), Group(("small",), 1)))
    assert plan.report is not None
    assert keeps(plan.report, 0.6)
    assert all(not keeps(report, 0.6) for report in plan.one_fewer.values())


def test_what_one_kind_takes_alone_no_number_can_shorten() -> None:
    plan = planned(0.1, 1.0)
    assert (plan.report, plan.one_fewer, plan.tried) == (None, {}, 0)
    assert max(plan.alone_s, key=lambda name: plan.alone_s[name]) == CASCADE.name


def test_a_fleet_that_is_large_enough_from_the_first_has_one_of_each() -> None:
    plan = planned(5.0, 0.1)
    assert plan.report is not None
    assert [group.processes for group in plan.report.groups] == [1, 1]
    assert plan.one_fewer == {}
