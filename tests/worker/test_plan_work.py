"""What runs of each plan are made of."""

from __future__ import annotations

import pytest

from rerank_shared.models.precision import PlanName
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_shared.settings import load_settings
from rerank_worker.batching.plan_work import PlanWork
from rerank_worker.batching.run_cost import Pace


@pytest.mark.parametrize(
    ("plan", "work"),
    [
        ("single", Work(3, 60, 10 * 10 + 20 * 20 + 30 * 30)),
        ("buckets", Work(1, 90, 3 * 30 * 30)),
        ("ragged", Work(1, 60, 10 * 10 + 20 * 20 + 30 * 30)),
        ("packs", Work(1, 60, 10 * 10 + 20 * 20 + 30 * 30)),
    ],
)
def test_a_run(plan: PlanName, work: Work) -> None:
    assert PlanWork(plan).run([10, 20, 30]) == work


@pytest.mark.parametrize(("tokens", "share"), [(10, 1 / 8), (100, 1 / 5), (500, 1.0), (900, 1.0)])
def test_a_pair_s_share_of_a_run_that_is_as_full_as_it_may_be(tokens: int, share: float) -> None:
    assert PlanWork("buckets", run_pairs=8, run_tokens=500).pair(tokens) == Work(share, tokens, tokens * tokens)
    assert PlanWork("single", run_pairs=8, run_tokens=500).pair(tokens) == Work.pair(tokens)


def test_it_comes_from_the_settings() -> None:
    settings = load_settings(plan="ragged", run_pairs=64, run_tokens=8_192)
    assert PlanWork.of(settings) == PlanWork("ragged", 64, 8_192)


def test_pace_learns_both_from_a_run() -> None:
    pace = Pace(PlanWork("buckets"))
    assert pace.observe([50, 100], 0.02) is None
    assert pace.rate.tokens_per_s == pytest.approx(150 / 0.02)
    assert pace.predict_s([50, 100]) == pytest.approx(0.02, rel=0.01)
    assert pace.predict_s([100, 100]) == pytest.approx(0.02, rel=0.01)
    assert pace.observe([50, 100], 0.01) == pytest.approx(1.0, rel=0.01)


def test_what_is_shared_is_reckoned_by_the_pair_and_comes_back_as_it_was() -> None:
    pace = Pace(PlanWork("buckets", run_pairs=8, run_tokens=1_024))
    learned = CostParameters(0.8, 0.001, 0.0)
    pace.cost.adopt(learned)
    assert pace.shared is not None
    assert pace.shared.run_s == pytest.approx(0.1)
    other = Pace(pace.work)
    other.adopt(pace.shared)
    assert other.cost.parameters is not None
    assert other.cost.parameters.run_s == pytest.approx(0.8)
