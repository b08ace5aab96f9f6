"""A simulated fleet that grows and shrinks by the policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_ops.simulate.arrivals import poisson
from rerank_ops.simulate.autoscale.account import account, needs, turns
from rerank_ops.simulate.autoscale.compare import compare
from rerank_ops.simulate.model.autoscaler import Autoscaling
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import Result, Simulation, simulate
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request
from rerank_shared.scheduling.autoscaling import Bounds
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape

#: A pair of 100 tokens takes half a second; nothing else takes time.
SPEC = FleetSpec(
    1,
    CostParameters(0.0, 0.005, 0.0),
    shape=RunShape(pairs=1),
    hand_off_s=0.0,
    reply_margin_s=0.0,
    reply_margin_per_pair_s=0.0,
)
SCALING = Autoscaling(Bounds(1, 8, 2.0, 60.0, cooldown_s=60.0), start_s=1.0)


def asked(rate: float, begins: float, ends: float, seed: int = 1) -> list[Request]:
    return [Request(begins + at_s, (100,), deadline_s=1e4) for at_s in poisson(rate, ends - begins, seed)]


def run(requests: list[Request], scaling: Autoscaling | None = SCALING, processes: int = 1) -> Result:
    return simulate(replace(SPEC, processes=processes), Policy(), requests, 0.0, scaling)


def test_it_grows_under_load_and_shrinks_after_the_cooldown() -> None:
    result = run([*asked(0.2, 0, 100), *asked(6.0, 100, 200), *asked(0.2, 200, 500)])
    by_second = {look.at: look for look in result.looks}
    assert by_second[99.0].kept == 1
    assert 4 <= by_second[199.0].kept <= 8
    assert by_second[470.0].kept <= 2
    assert all(1 <= look.kept <= 8 for look in result.looks)


def test_a_process_is_ready_after_its_start_time() -> None:
    slow = replace(SCALING, start_s=20.0)
    result = run(asked(6.0, 0, 100), slow)
    grown_at = next(look.at for look in result.looks if look.kept > 1)
    alive_at = next(look.at for look in result.looks if look.alive > 1)
    assert alive_at - grown_at == pytest.approx(20.0, abs=1.0)


def test_no_request_is_lost_when_processes_end() -> None:
    requests = [*asked(6.0, 0, 60), *asked(0.3, 60, 400), *asked(6.0, 400, 450), *asked(0.3, 450, 800)]
    simulation = Simulation(SPEC, Policy(), requests, autoscaling=SCALING)
    result = simulation.run()
    assert {call.end for call in result.calls} == {"met"}
    assert len(result.calls) == len(requests)
    assert simulation.client.open_calls == 0
    assert result.meter.busy_s <= result.process_s


def test_a_fleet_of_none_wakes_and_goes_back_to_none() -> None:
    scaling = replace(SCALING, bounds=replace(SCALING.bounds, min_processes=0))
    requests = [Request(20.0, (100,), deadline_s=1e4), Request(300.0, (100,), deadline_s=1e4)]
    result = run(requests, scaling, processes=0)
    kept = {look.at: look.kept for look in result.looks}
    assert kept[19.0] == 0
    assert kept[22.0] == 1
    assert kept[250.0] == 0
    assert [call.end for call in result.calls] == ["met", "met"]
    assert result.calls[0].latency_s == pytest.approx(1.5, abs=1.0)


def test_it_keeps_no_less_than_ran_and_no_more_than_it_may() -> None:
    result = run(asked(100.0, 0, 30))
    assert max(look.kept for look in result.looks) == 8
    assert result.looks[-1].wanted.reason == "maximum"


def test_need_is_the_work_that_arrives() -> None:
    result = run(asked(8.0, 0, 300), None, processes=10)
    middle = needs(result)[60:240]
    assert sum(middle) / len(middle) == pytest.approx(8.0 * 0.5 / 0.8, rel=0.2)


def test_turns_are_changes_of_direction() -> None:
    assert turns([1, 1, 2, 3, 3]) == 0
    assert turns([1, 2, 1, 2]) == 2
    assert turns([]) == 0


def test_an_account_counts_what_fixed_fleets_cost() -> None:
    found = account("fixed", run(asked(1.0, 0, 360), None, processes=3), 2.0, 1)
    assert found.process_hours == pytest.approx(0.3, rel=0.02)
    assert found.peak == 3
    assert found.turns_per_hour == 0
    assert found.overshoot == pytest.approx(2.0, abs=0.2)
    assert found.over_s == 0


def test_a_fleet_that_is_too_small_is_over_the_target() -> None:
    found = account("fixed", run(asked(3.0, 0, 360), None, processes=1), 2.0, 1)
    assert found.over_s > 300


def test_a_load_is_compared_with_fixed_fleets() -> None:
    requests = [*asked(0.2, 0, 100), *asked(6.0, 100, 160), *asked(0.2, 160, 400)]
    found = compare("burst", SPEC, Policy(), requests, SCALING, 2.0)
    scaled, mean, peak = found.accounts
    assert scaled.process_hours < peak.process_hours
    assert peak.over_s <= scaled.over_s <= mean.over_s
