"""What the simulator does in its own way, held against the real thing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.simulate.arrivals import recorded
from rerank_ops.simulate.backlog import Backlog
from rerank_ops.simulate.policy import Policy
from rerank_ops.simulate.process import ASK_EVERY_S
from rerank_ops.simulate.run import Simulation
from rerank_ops.simulate.runs import split_runs
from rerank_ops.simulate.spec import FleetSpec
from rerank_ops.simulate.workload import Mix, Request, lengths
from rerank_producer._dispatch.fleet_load import REMEMBERED_S, FleetLoad
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.models.precision import PlanName
from rerank_shared.queue.backlog import BacklogEntry
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.settings import Settings, load_settings
from rerank_worker.batching.plan_work import PlanWork
from rerank_worker.consume import gate
from rerank_worker.consume import handler as answer
from rerank_worker.engine import RunShape

COST = CostParameters(0.0, 1.0, 0.0)
PLANS: tuple[PlanName, ...] = ("single", "buckets", "ragged", "packs")


@given(
    plan=st.sampled_from(PLANS),
    pairs=st.integers(1, 6),
    tokens=st.integers(64, 600),
    counts=st.lists(st.integers(5, 512), max_size=30),
)
def test_batches_are_split_into_runs_as_the_engine_splits_them(
    plan: PlanName, pairs: int, tokens: int, counts: list[int]
) -> None:
    real = RunShape(plan, pairs, tokens).split(counts)
    assert split_runs(PlanWork(plan, pairs, tokens), counts) == [len(run) for run in real]


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
    entries = []
    for its_class, step, tokens, stays in jobs:
        # In the middle of a step of urgency.
        due_at = step / 100 + 0.005
        backlog.add(its_class, due_at, float(tokens))
        if stays:
            entries.append(BacklogEntry(its_class, Work(tokens=tokens), due_at))
        else:
            backlog.remove(its_class, due_at, float(tokens))
    due_at = due_step / 100 + 0.005
    real = FleetLoad(workers=1, unanswered=len(entries) + 1, cost=COST, entries=tuple(entries))
    assert backlog.ahead_s(job_class, due_at, 0.0) == pytest.approx(real.wait_s(job_class, due_at))
    assert backlog.jobs == len(entries)


def test_clients_remember_the_ledger_for_a_while() -> None:
    backlog = Backlog(0.25)
    assert backlog.ahead_s("interactive", 5.0, 0.0) == 0
    backlog.add("interactive", 1.0, 3.0)
    assert backlog.ahead_s("interactive", 5.0, 0.2) == 0
    assert backlog.ahead_s("interactive", 5.0, 0.25) == 3


def test_defaults_are_those_of_the_fleet() -> None:
    spec = FleetSpec.of(Settings(), 1, COST)
    assert spec == FleetSpec(1, COST)
    assert spec.reply_margin_s == answer.REPLY_MARGIN_S
    assert spec.reply_margin_per_pair_s == answer.REPLY_MARGIN_PER_DOCUMENT_S
    assert spec.remembered_s == REMEMBERED_S
    assert gate._ASK_EVERY_S == ASK_EVERY_S


def test_settings_in_force_are_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_LOOKAHEAD_MS", "40")
    monkeypatch.setenv("RERANK_PLAN", "buckets")
    spec = FleetSpec.of(load_settings(), 3, COST, hand_off_s=0.0)
    assert (spec.lookahead_s, spec.work.plan, spec.hand_off_s) == (0.04, "buckets", 0.0)


def test_lengths_have_their_mean_and_are_cut() -> None:
    drawn = lengths(random.Random(1), 20_000, 100.0, 0.43, 512)
    assert sum(drawn) / len(drawn) == pytest.approx(100, rel=0.02)
    assert max(lengths(random.Random(1), 1_000, 100.0, 2.0, 128)) == 128
    assert lengths(random.Random(1), 3, 60.0, 0.0, 512) == (60, 60, 60)


def test_recorded_requests_are_read(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"at_s": 12.5, "tokens": [80, 1000], "class": "bulk", "tenant": "a", "query": "q"}\n\n'
        '{"at_s": 11, "k": 3, "deadline_ms": 300, "query": "q"}\n'
        '{"at_s": 13, "k": 2, "tokens": 40.0}\n'
    )
    first, second, third = recorded(path, Mix(spread=0.0, noise=0.0), 1)
    assert first == Request(0.0, (100, 100, 100), 0.3, query=0)
    assert second == Request(1.5, (80, 512), 3600.0, "bulk", "a", query=0)
    assert third == Request(2.0, (40, 40), 30.0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"k": 3}', "line 1: at_s: Field required"),
        ('{"at_s": 1}', "line 1: give k, or tokens as a list"),
        ('{"at_s": 1, "tokens": []}', "line 1: tokens: at least one pair"),
        ('{"at_s": 1, "k": 0}', "line 1: k: "),
        ('{"at_s": 1, "k": 1, "kind": 2}', "line 1: kind: no such field"),
        ('{"at_s": 1, "k": 1, "clas": "bulk"}', "line 1: clas: no such field; did you mean class?"),
        ('{"at_s": 1, "k": 1, "tokens": -4}', "line 1: tokens"),
        ("nonsense", "line 1: line: "),
        ("", "no requests in it"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(line)
    with pytest.raises(InvalidRequest, match=told):
        recorded(path, Mix(), 1)


def test_nothing_to_simulate_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no request comes after the warm-up"):
        Simulation(FleetSpec(1, COST), Policy(), [])
