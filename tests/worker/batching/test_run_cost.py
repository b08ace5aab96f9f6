"""What runs cost is learned from them, and shared with those who know pairs alone."""

from __future__ import annotations

import pytest

from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.run_cost import RunCost


def test_pace_learns_both_from_a_run() -> None:
    run_cost = RunCost(RunShape("padded"))
    assert run_cost.observe([50, 100], 0.02) is None
    assert run_cost.rate.tokens_per_s == pytest.approx(150 / 0.02)
    assert run_cost.predict_s([50, 100]) == pytest.approx(0.02, rel=0.01)
    assert run_cost.predict_s([100, 100]) == pytest.approx(0.02, rel=0.01)
    assert run_cost.observe([50, 100], 0.01) == pytest.approx(1.0, rel=0.01)


def test_what_is_shared_is_reckoned_by_the_pair_and_comes_back_as_it_was() -> None:
    run_cost = RunCost(RunShape("padded", pairs=8, tokens=1_024))
    learned = CostParameters(0.8, 0.001, 0.0)
    run_cost.cost.adopt(learned)
    assert run_cost.shared is not None
    assert run_cost.shared.run_s == pytest.approx(0.1)
    other = RunCost(run_cost.work)
    other.adopt(run_cost.shared)
    assert other.cost.parameters is not None
    assert other.cost.parameters.run_s == pytest.approx(0.8)
