"""A worker's own refusals: what would miss its deadline here is refused before it waits, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rerank_shared.errors import DeadlineTooShort, Overloaded
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.settings import load_settings
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.cost_model import CostModel
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.handler import _admit
from support.jobs import make_job
from support.scoring import SmallEngine, digest, pair, scorer_of

#: A pair of ten tokens takes a second.
COST = CostParameters(0.0, 0.1, 0.0)
SETTINGS = load_settings()


class Desk:
    """A scoring thread whose engine stands still with a batch of five pairs, and a clock that a test moves."""

    def __init__(self, run_cost: RunCost) -> None:
        self.now, self.engine = [100.0], SmallEngine()
        batcher = Batcher(budget_tokens=50, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
        lane = Lane(scorer_of(self.engine), batcher, run_cost)
        self.scoring = ScoringThread([lane], revoked=lambda _: False, aging_s=1e9, clock=lambda: self.now[0])
        self.scoring.start()
        self._names = iter(range(1, 1_000))
        self.submit(5, 1_000.0)
        self.engine.wait_until_running()

    def submit(self, pairs: int, left_s: float, **options: object) -> list[AdmissionEstimate]:
        """Submit a job, and return the load that it was told of."""
        names = [next(self._names) for _ in range(pairs)]
        told: list[AdmissionEstimate] = []
        self.scoring.submit(
            "job",
            [digest(name) for name in names],
            [pair(name) for name in names],
            self.now[0] + left_s,
            None,
            admit=told.append,
            **options,  # type: ignore[arg-type]
        )
        return told


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk(RunCost(cost=CostModel(COST)))
    yield desk
    desk.engine.gate.set()


def test_a_job_waits_for_what_runs_and_for_what_is_more_urgent(desk: Desk) -> None:
    (first,) = desk.submit(2, 50.0)
    assert (first.wait_s, first.run_s, first.left_s) == pytest.approx((5.0, 2.0, 50.0), rel=0.01)
    (less_urgent,) = desk.submit(1, 80.0)
    assert (less_urgent.wait_s, less_urgent.run_s) == pytest.approx((7.0, 1.0), rel=0.01)
    (more_urgent,) = desk.submit(1, 20.0)
    assert (more_urgent.wait_s, more_urgent.run_s) == pytest.approx((5.0, 1.0), rel=0.01)
    (bulk,) = desk.submit(1, 20.0, job_class="bulk")
    assert bulk.wait_s == pytest.approx(9.0, rel=0.01)


def test_what_has_run_of_the_batch_is_not_waited_for(desk: Desk) -> None:
    desk.now[0] += 3.0
    (told,) = desk.submit(1, 50.0)
    assert told.wait_s == pytest.approx(2.0, rel=0.02)
    desk.now[0] += 30.0
    (late,) = desk.submit(1, 10.0)
    assert late.wait_s == 0.0


def test_nothing_is_known_of_the_speed_so_nothing_is_waited_for() -> None:
    desk = Desk(RunCost())
    desk.submit(50, 1_000.0)
    (told,) = desk.submit(5, 0.001)
    assert (told.wait_s, told.run_s) == (0.0, 0.0)
    assert not told.hopeless(partial=False)
    desk.engine.gate.set()


def test_a_refused_job_leaves_nothing_behind(desk: Desk) -> None:
    def refuse(_: AdmissionEstimate) -> None:
        raise Overloaded("no", 1.0, 2.0)

    before = desk.scoring.held(), desk.scoring.waiting
    with pytest.raises(Overloaded):
        desk.scoring.submit("job", [digest(999)], [pair(999)], desk.now[0] + 50.0, None, admit=refuse)
    assert (desk.scoring.held(), desk.scoring.waiting) == before


@pytest.mark.parametrize(
    ("partial", "wait_s", "run_s", "refused"),
    [(True, 11.0, 5.0, False), (True, 13.0, 5.0, True), (False, 8.0, 5.0, True), (False, 7.0, 5.0, False)],
)
def test_who_is_refused_and_what_is_told(partial: bool, wait_s: float, run_s: float, refused: bool) -> None:
    job = make_job(SETTINGS, "q", ["d"], partial=partial, deadline_at=time.time() + 10)
    estimate = AdmissionEstimate(wait_s, run_s, 10.0)
    if not refused:
        _admit(job, estimate)
        return
    with pytest.raises(Overloaded, match=r"refused: .* Retry after") as told:
        _admit(job, estimate)
    assert told.value.predicted_wait_ms == pytest.approx(wait_s * 1000)
    assert told.value.retry_after_s == pytest.approx(wait_s + run_s - 10.0)


def test_what_an_idle_process_could_not_do_either_is_the_error_that_a_client_raises_for_it() -> None:
    job = make_job(SETTINGS, "q", ["d"], partial=False, deadline_at=time.time() + 10)
    with pytest.raises(DeadlineTooShort, match=r"needs 30\.00 s, with 10\.00 s left"):
        _admit(job, AdmissionEstimate(0.0, 30.0, 10.0))
