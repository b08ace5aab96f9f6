"""What the simulator does in its own way, held against the real thing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import Simulation
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import lengths
from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.queue.backlog import DueJobs
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.settings import Settings, load_settings

COST = CostParameters(0.0, 1.0, 0.0)


@given(
    jobs=st.lists(
        st.tuples(st.sampled_from(JOB_CLASSES), st.integers(-50, 2_000), st.integers(1, 100), st.booleans()),
        max_size=30,
    ),
    job_class=st.sampled_from(JOB_CLASSES),
    due_step=st.integers(-50, 2_000),
)
def test_the_backlog_sums_what_the_ledger_sums(
    jobs: list[tuple[JobClass, int, int, bool]], job_class: JobClass, due_step: int
) -> None:
    backlog = Backlog(0.0)
    due = []
    for its_class, step, tokens, stays in jobs:
        # In the middle of a step of urgency.
        due_at = step / 100 + 0.005
        backlog.add(its_class, due_at, float(tokens))
        if stays:
            due.append(DueJobs(its_class, Work(tokens=tokens), due_at, due_at))
        else:
            backlog.remove(its_class, due_at, float(tokens))
    due_at = due_step / 100 + 0.005
    real = FleetLoad(workers=1, unanswered=len(due) + 1, cost=COST, due=tuple(due))
    assert backlog.ahead_s(job_class, due_at, 0.0) == pytest.approx(real.wait_s(job_class, due_at))
    assert backlog.jobs == len(due)


def test_clients_remember_the_ledger_for_a_while() -> None:
    backlog = Backlog(0.25)
    assert backlog.ahead_s("interactive", 5.0, 0.0) == 0
    backlog.add("interactive", 1.0, 3.0)
    assert backlog.ahead_s("interactive", 5.0, 0.2) == 0
    assert backlog.ahead_s("interactive", 5.0, 0.25) == 3


def test_defaults_are_those_of_the_fleet() -> None:
    spec = FleetSpec.of(Settings(), 1, COST)
    assert spec == FleetSpec(1, COST)


def test_settings_in_force_are_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_LOOKAHEAD_MS", "40")
    monkeypatch.setenv("RERANK_LAYOUT", "padded")
    spec = FleetSpec.of(load_settings(), 3, COST, hand_off_s=0.0)
    assert (spec.lookahead_s, spec.shape.layout, spec.hand_off_s) == (0.04, "padded", 0.0)


def test_lengths_have_their_mean_and_are_cut() -> None:
    drawn = lengths(random.Random(1), 20_000, 100.0, 0.43, 512)
    assert sum(drawn) / len(drawn) == pytest.approx(100, rel=0.02)
    assert max(lengths(random.Random(1), 1_000, 100.0, 2.0, 128)) == 128
    assert lengths(random.Random(1), 3, 60.0, 0.0, 512) == (60, 60, 60)


def test_nothing_to_simulate_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no request comes after the warm-up"):
        Simulation(FleetSpec(1, COST), Policy(), [])
