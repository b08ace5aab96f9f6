"""What a request learns of the fleet: its wait, by what comes before it, asked for no more often than needed."""

from __future__ import annotations

import pytest

from rerank_producer._dispatch.fleet_load import FleetLoad, describe_workers
from rerank_producer._io.port import drive
from rerank_shared.queue.backlog import DueJobs
from rerank_shared.scheduling.admission import LOAD_REMEMBERED_S
from rerank_shared.scheduling.cost import CostParameters, Work
from support.in_memory import Parts

COST = CostParameters(run_s=0.5, token_s=0.0, token_longest_s=0.0)
TEN = DueJobs("interactive", Work(runs=10.0), 100.0, 100.0)


def load(parts: Parts) -> FleetLoad:
    return drive(parts.pipeline.dispatcher.fleet_load.get(parts.port, parts.model, parts.pool.id))


def submit(parts: Parts, count: int, documents: int = 1) -> None:
    with parts.fleet.client() as client:
        for number in range(count):
            client.submit(f"query {number} of {parts.fleet.now}", [str(place) for place in range(documents)])


@pytest.mark.parametrize(
    ("seen", "wait_s"),
    [
        (FleetLoad(2, 2, COST, (TEN,)), 2.5),
        (FleetLoad(2, 1, COST, (TEN,)), 0.0),
        (FleetLoad(0, 1, COST, (TEN,)), 0.0),
        (FleetLoad(2, 2, None, (TEN,)), 0.0),
        (FleetLoad(1, 1, COST, (TEN, DueJobs("bulk", Work(runs=90.0), 1.0, 1.0))), 5.0),
    ],
    ids=["shared by processes", "one is idle", "nobody alive", "cost unknown", "bulk comes after"],
)
def test_a_wait_is_what_comes_before_over_who_works_on_it(seen: FleetLoad, wait_s: float) -> None:
    assert seen.wait_s("interactive", due_at=101.0) == wait_s


def test_less_urgent_work_is_not_waited_for() -> None:
    assert FleetLoad(1, 1, COST, (TEN,)).wait_s("interactive", due_at=99.0) == 0.0


def test_a_run_takes_nothing_that_nobody_knows() -> None:
    assert FleetLoad(1, 0, None).run_s(Work(runs=3.0)) == 0.0
    assert FleetLoad(1, 0, COST).run_s(Work(runs=3.0)) == 1.5


def jobs_in(load: FleetLoad) -> int:
    return sum(each.jobs for each in load.due)


def test_what_waits_is_read_only_where_nobody_is_idle() -> None:
    parts = Parts(workers=2, pair_s=1.0)
    submit(parts, 1)
    assert load(parts).due == ()
    assert len(parts.port.trips) == 1
    submit(parts, 1)
    assert jobs_in(load(parts)) == 2
    assert len(parts.port.trips) == 3


def test_what_waits_is_remembered_for_a_moment() -> None:
    parts = Parts(pair_s=1.0)
    submit(parts, 2)
    assert jobs_in(load(parts)) == 2
    submit(parts, 1)
    assert jobs_in(load(parts)) == 2
    parts.fleet.advance(LOAD_REMEMBERED_S)
    assert jobs_in(load(parts)) == 3


def test_what_was_remembered_is_worth_nothing_once_far_more_waits() -> None:
    parts = Parts(pair_s=1.0)
    submit(parts, 1)
    assert jobs_in(load(parts)) == 1
    submit(parts, 2)
    assert jobs_in(load(parts)) == 3


def test_processes_and_unanswered_jobs_are_counted_by_pool() -> None:
    parts = Parts(workers=2, pair_s=1.0)
    submit(parts, 3)
    assert drive(parts.pipeline.dispatcher.fleet_load.counts(parts.port, parts.pool.id)) == (2, 3)
    parts.fleet.workers = 5
    assert drive(parts.pipeline.dispatcher.fleet_load.counts(parts.port, parts.pool.id)) == (5, 3)


@pytest.mark.parametrize(("workers", "told"), [(1, "one worker process is"), (0, "0 worker processes are")])
def test_processes_are_told_in_words(workers: int, told: str) -> None:
    assert describe_workers(workers) == f"{told} alive"
