"""A trial ends as soon as the target can't be kept, and says what the whole simulation says."""

from __future__ import annotations

import pytest

from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import Simulation
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix
from rerank_ops.simulate.planning import Planner, Target
from rerank_ops.simulate.trial import Trial
from rerank_shared.scheduling.cost import CostParameters

COST = CostParameters(0.0005, 140e-6, 100e-9)


def planner(p95_s: float, rps: float, deadline_s: float = 30.0) -> Planner:
    mix = Mix(k=((20, 1.0),), deadline_s=deadline_s)
    return Planner.of_mix(Target(p95_s, rps), FleetSpec(1, COST), Policy(), mix, requests=300, seed=1)


@pytest.mark.parametrize(
    ("p95_s", "rps", "deadline_s"),
    [(0.5, 10.0, 30.0), (0.3, 10.0, 30.0), (2.0, 10.0, 30.0), (0.5, 32.0, 30.0), (5.0, 0.1, 30.0), (0.05, 1.0, 30.0),
     (0.6, 20.0, 0.6), (10.0, 5.0, 0.03)],
)  # fmt: skip
def test_the_least_number_is_that_of_the_plan(p95_s: float, rps: float, deadline_s: float) -> None:
    assert planner(p95_s, rps, deadline_s).least() == planner(p95_s, rps, deadline_s).plan().processes


def test_a_fleet_that_is_too_small_is_not_simulated_to_its_end() -> None:
    whole, short = planner(0.5, 10.0)._simulation(1), planner(0.5, 10.0)._simulation(1)
    result = whole.run()
    trial = Trial.of((request.at_s for request in short.requests), 0.5, short.warm_up_s, short.loop.stop)
    short.ended = trial.hear
    assert short.run().events < result.events / 2
    assert trial.failed


def test_a_fleet_that_keeps_it_is_simulated_whole() -> None:
    whole, tried = planner(0.5, 10.0)._simulation(20), planner(0.5, 10.0)._simulation(20)
    trial = Trial.of((request.at_s for request in tried.requests), 0.5, tried.warm_up_s, tried.loop.stop)
    tried.ended = trial.hear
    assert [call.latency_s for call in tried.run().calls] == [call.latency_s for call in whole.run().calls]
    assert not trial.failed


def test_what_is_before_the_warm_up_does_not_count() -> None:
    simulation: Simulation = planner(0.5, 10.0)._simulation(1)
    trial = Trial.of((request.at_s for request in simulation.requests), 0.5, 1e9, simulation.loop.stop)
    simulation.ended = trial.hear
    simulation.run()
    assert not trial.failed
