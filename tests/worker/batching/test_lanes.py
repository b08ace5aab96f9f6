"""A scoring thread with two lanes: each model's engine runs its own pairs, and estimates count the work of both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.fairness import ClassShare
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.cost_model import CostModel
from rerank_worker.batching.lane import Lane, most_pairs
from rerank_worker.batching.pending_job import PendingJob
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from support.scoring import PATIENCE_S, SmallEngine, digest, expected, pair, scorer_of
from support.waiting import wait_until


class TwoModels:
    """A fast and a slow model: a pair of ten tokens takes one and ten seconds by their costs. The clock stands."""

    def __init__(self) -> None:
        self.fast, self.slow = SmallEngine(), SmallEngine()
        share = ClassShare(0.0)
        self.fast_lane, self.slow_lane = self._lane(self.fast, 0.1, share), self._lane(self.slow, 1.0, share)
        self.scoring = ScoringThread(
            [self.fast_lane, self.slow_lane], revoked=lambda _: False, aging_s=1e9, clock=lambda: 100.0
        )
        self.scoring.start()

    @staticmethod
    def _lane(engine: SmallEngine, token_s: float, share: ClassShare) -> Lane:
        run_cost = RunCost(cost=CostModel(CostParameters(0.0, token_s, 0.0)))
        batcher = Batcher(
            budget_tokens=1_000, max_wait_s=0.0, predict_s=run_cost.cost.predict_s, share=share, most_pairs=1
        )
        return Lane(scorer_of(engine), batcher, run_cost)

    def submit(self, lane: Lane | None, names: list[int], *, left_s: float = 1_000.0, **options: Any) -> PendingJob:
        digests, pairs = [digest(name) for name in names], [pair(name) for name in names]
        return self.scoring.submit("job", digests, pairs, 100.0 + left_s, None, lane=lane, **options)

    def finish(self, pending: PendingJob) -> PendingJob:
        assert pending.wait(PATIENCE_S)
        self.scoring.release(pending)
        return pending


@pytest.fixture
def two() -> Iterator[TwoModels]:
    two = TwoModels()
    yield two
    two.fast.gate.set()
    two.slow.gate.set()


def test_each_pair_runs_in_the_engine_of_its_lane_and_the_first_lane_is_the_default(two: TwoModels) -> None:
    two.fast.gate.set()
    two.slow.gate.set()
    jobs = [two.submit(two.slow_lane, [1, 2]), two.submit(two.fast_lane, [3, 4]), two.submit(None, [5])]
    for pending, names in zip(jobs, ([1, 2], [3, 4], [5]), strict=True):
        assert two.finish(pending).scores == [expected(name) for name in names]
    assert sorted(name for run in two.slow.ran for name in run) == [1, 2]
    assert sorted(name for run in two.fast.ran for name in run) == [3, 4, 5]
    assert two.scoring.held() == (0, 0)


def test_interactive_pairs_of_the_fast_model_run_before_the_bulk_of_the_slow_one_that_came_first(
    two: TwoModels,
) -> None:
    bulk = two.submit(two.slow_lane, [1, 2, 3], job_class="bulk")
    two.slow.wait_until_running()
    urgent = two.submit(two.fast_lane, [11, 12])
    two.fast.gate.set()
    # One pair of bulk was under way, and the rest of it waits.
    two.slow.gate.set()
    two.finish(urgent)
    two.finish(bulk)
    assert urgent.scores == [expected(11), expected(12)]
    assert two.slow.ran == [[1], [2], [3]]
    assert urgent.batch_pairs == [1, 1]


def test_waiting_work_is_the_sum_of_the_lanes_each_by_its_own_cost(two: TwoModels) -> None:
    two.submit(two.slow_lane, [1])
    two.slow.wait_until_running()
    two.submit(two.slow_lane, [2, 3])
    two.submit(two.fast_lane, [4])
    waiting = two.scoring.waiting
    assert (waiting.tokens, waiting.seconds) == pytest.approx((30.0, 21.0), rel=0.01)


def test_a_job_waits_for_what_is_more_urgent_in_any_lane(two: TwoModels) -> None:
    told: list[AdmissionEstimate] = []
    two.submit(two.slow_lane, [1])
    two.slow.wait_until_running()
    two.submit(two.slow_lane, [2, 3], left_s=50.0)
    two.submit(two.fast_lane, [4], left_s=60.0, admit=told.append)
    two.submit(two.fast_lane, [5], left_s=40.0, admit=told.append)
    two.submit(two.slow_lane, [6], left_s=70.0, admit=told.append)
    assert [estimate.wait_s for estimate in told] == pytest.approx([30.0, 10.0, 32.0])
    assert [estimate.run_s for estimate in told] == pytest.approx([1.0, 1.0, 10.0])


def test_a_failing_engine_fails_only_jobs_of_its_own_lane(two: TwoModels) -> None:
    two.fast.gate.set()
    two.slow.gate.set()
    two.slow.logits[7] = ValueError("broken")
    bad, good = two.submit(two.slow_lane, [7]), two.submit(two.fast_lane, [8])
    assert "broken" in str(two.finish(bad).error)
    assert two.finish(good).scores == [expected(8)]


def test_a_drain_gives_back_the_jobs_of_every_lane(two: TwoModels) -> None:
    running = two.submit(two.slow_lane, [1])
    two.slow.wait_until_running()
    waiting = [two.submit(two.slow_lane, [2]), two.submit(two.fast_lane, [3])]
    two.scoring.drain()
    two.slow.gate.set()
    assert two.finish(running).scores == [expected(1)]
    assert [two.finish(pending).dropped for pending in waiting] == ["drained", "drained"]


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_lane_that_leaves_finishes_its_batch_and_gives_back_its_other_jobs(two: TwoModels) -> None:
    running, waiting = two.submit(two.slow_lane, [1]), two.submit(two.slow_lane, [2])
    two.slow.wait_until_running()
    stays = two.submit(two.fast_lane, [3])
    leaving = in_background(lambda: two.scoring.remove_lane(two.slow_lane))
    wait_until(lambda: two.scoring._leaving, "the lane is asked to leave")
    late = two.submit(two.slow_lane, [4])
    two.fast.gate.set()
    two.slow.gate.set()
    leaving.join(PATIENCE_S)
    assert not leaving.is_alive()
    assert two.finish(running).scores == [expected(1)]
    assert two.finish(stays).scores == [expected(3)]
    assert [two.finish(pending).dropped for pending in (waiting, late)] == ["drained", "drained"]
    assert two.finish(two.submit(two.slow_lane, [5])).dropped == "drained"
    assert two.slow.ran == [[1]]
    assert (two.scoring.held(), two.scoring.waiting.tokens) == ((0, 0), 0)


def test_a_lane_leaves_an_idle_scoring_thread_at_once_and_may_come_again(two: TwoModels) -> None:
    two.fast.gate.set()
    two.slow.gate.set()
    in_background(lambda: two.scoring.remove_lane(two.slow_lane)).join(PATIENCE_S)
    assert two.finish(two.submit(two.slow_lane, [1])).dropped == "drained"
    two.scoring.add_lane(two.slow_lane)
    assert two.finish(two.submit(two.slow_lane, [1])).scores == [expected(1)]


def test_batches_are_of_one_pair_only_while_there_are_several_models(two: TwoModels) -> None:
    """Those of other layouts gain by company, and stay large."""
    shape, padded = RunShape(), RunShape("padded")
    assert (most_pairs(shape, 1), most_pairs(shape, 2)) == (shape.pairs, 1)
    assert most_pairs(padded, 1) == most_pairs(padded, 2) == padded.batch_pairs
    in_background(lambda: two.scoring.remove_lane(two.slow_lane)).join(PATIENCE_S)
    assert two.fast_lane.batcher.most_pairs == most_pairs(shape, 1)
    two.scoring.add_lane(two.slow_lane)
    assert {lane.batcher.most_pairs for lane in (two.fast_lane, two.slow_lane)} == {most_pairs(shape, 2)}
