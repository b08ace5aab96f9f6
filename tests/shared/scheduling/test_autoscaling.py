"""The autoscaling policy: what grows a fleet, what keeps it, and what must never happen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.keys import JobClass
from rerank_shared.scheduling.autoscaling import (
    GROW_AT_SHARE,
    SHRINK_AT_SHARE,
    Activity,
    Bounds,
    Demand,
    Wanted,
    busy_processes,
    followed,
    processes_wanted,
)

BOUNDS = Bounds(1, 100, target_backlog_s=2.0, bulk_target_backlog_s=60.0, cooldown_s=300.0)


def slots(busy: float, alive: float, *, bulk: float = 0.0, count: int = 31) -> tuple[Activity, ...]:
    """A cool-down of the same all the time."""
    return tuple(Activity(10.0, 10 * alive, {"interactive": 10 * busy, "bulk": 10 * bulk}) for _ in range(count))


def demand(ready: int, busy: float = 0.0, **changes: object) -> Demand:
    """A fleet of old processes, so many of them busy, without a backlog."""
    known = Demand(ready, 0, 0, {"interactive": 0.0, "bulk": 0.0}, slots(busy, ready))
    return replace(known, **changes)  # type: ignore[arg-type]


def wanted(asked: Demand, bounds: Bounds = BOUNDS) -> Wanted:
    return processes_wanted(asked, bounds)


def waiting(interactive: float, bulk: float = 0.0) -> dict[JobClass, float]:
    return {"interactive": interactive, "bulk": bulk}


def test_load_grows_a_fleet_until_each_runs_for_its_share() -> None:
    assert wanted(demand(4, 3.3)) == Wanted(5, "load")
    assert wanted(demand(4, 3.2)) == Wanted(4, "load")
    assert wanted(demand(4, 2.0)) == Wanted(3, "load")
    assert wanted(demand(4, activity=(*slots(0.1, 4.0, count=9), *slots(2.7, 4.0)))) == Wanted(4, "cooldown")


def test_backlog_grows_a_fleet_once_it_is_over_the_target() -> None:
    assert wanted(demand(4, waiting_s=waiting(8.0), queued_jobs=20)).processes == 1
    assert wanted(demand(4, waiting_s=waiting(8.1), queued_jobs=20)) == Wanted(5, "backlog")
    assert wanted(demand(4, waiting_s=waiting(40.0), queued_jobs=50)) == Wanted(20, "backlog")


def test_one_long_job_wants_one_process() -> None:
    assert wanted(demand(1, 1.0, waiting_s=waiting(60.0))).processes == wanted(demand(1, 1.0)).processes
    assert wanted(demand(0, waiting_s=waiting(60.0), queued_jobs=1)).processes == 1


def test_bulk_work_that_keeps_all_busy_grows_nothing() -> None:
    busy = slots(0.2, 4.0, bulk=3.8)
    assert wanted(demand(4, activity=busy, waiting_s=waiting(0.5, 20.0), queued_jobs=9)).processes == 1
    assert wanted(demand(1, activity=busy, waiting_s=waiting(0.5, 300.0), queued_jobs=9)).processes == 6


def test_a_fleet_that_keeps_up_is_not_scaled_away() -> None:
    bounds = replace(BOUNDS, min_processes=0)
    bursty = (*slots(0.0, 1.0, count=20), *slots(0.05, 1.0, count=1), *slots(0.0, 1.0, count=10))
    assert wanted(demand(1, activity=bursty), bounds) == Wanted(1, "cooldown")
    assert wanted(demand(1), bounds) == Wanted(0, "minimum")


def test_bulk_within_the_cooldown_keeps_one() -> None:
    bounds = replace(BOUNDS, min_processes=0)
    assert wanted(demand(3, activity=slots(0.0, 3.0, bulk=3.0)), bounds) == Wanted(1, "cooldown")


def test_a_fleet_of_none_is_woken_by_whatever_waits() -> None:
    bounds = replace(BOUNDS, min_processes=0)
    nothing = slots(0.0, 0.0)
    for job in (waiting(0.001), waiting(0.0), waiting(math.inf), waiting(0.0, 0.001)):
        asked = demand(0, activity=nothing, waiting_s=job, queued_jobs=1)
        assert wanted(asked, bounds) == Wanted(1, "backlog")
    assert wanted(demand(0, activity=nothing), bounds) == Wanted(0, "minimum")


def test_a_cost_that_nobody_knows_grows_no_fleet_that_lives() -> None:
    assert wanted(demand(3, 0.1, waiting_s=waiting(math.inf), queued_jobs=9)).processes == 1


def test_a_crash_in_a_fleet_younger_than_the_cooldown_lowers_nothing() -> None:
    activity = (*slots(2.0, 2.0, count=3), *slots(0.0, 0.0, count=2))
    # The work that waits is of an unknown cost, so load and backlog alone say less.
    assert wanted(demand(1, activity=activity, waiting_s=waiting(math.inf))).processes >= 2


def test_where_the_record_is_lost_all_are_kept() -> None:
    emptied = (*slots(0.0, 8.0, count=2), *slots(0.0, 0.0, count=29))
    assert wanted(demand(8, activity=emptied)) == Wanted(8, "cooldown")


def test_a_fleet_that_died_is_wanted_as_large_as_it_was_needed() -> None:
    died = (*slots(0.0, 0.0, count=9), *slots(3.0, 5.0))
    assert wanted(demand(0, activity=died)) == Wanted(5, "cooldown")


def test_young_processes_are_kept_and_one_that_restarts_keeps_no_other() -> None:
    assert wanted(demand(8, 1.0, young=7)) == Wanted(8, "cooldown")
    assert wanted(demand(10, 1.0, young=1)) == Wanted(3, "cooldown")


def test_nobody_shrinks_within_a_cooldown_of_growing() -> None:
    assert followed(1, 4, since_growth_s=299.0, cooldown_s=300.0) == 4
    assert followed(1, 4, since_growth_s=300.0, cooldown_s=300.0) == 1
    assert followed(5, 4, since_growth_s=0.0, cooldown_s=300.0) == 5


def test_bounds_hold_and_are_told() -> None:
    assert wanted(demand(1), replace(BOUNDS, min_processes=3)) == Wanted(3, "minimum")
    hurried = demand(4, waiting_s=waiting(900.0), queued_jobs=999)
    assert wanted(hurried) == Wanted(100, "maximum")
    assert wanted(hurried, replace(BOUNDS, max_processes=None)) == Wanted(450, "backlog")


activities = st.lists(
    st.builds(
        lambda alive, share, bulk: Activity(
            10.0, 10 * alive, {"interactive": 10 * alive * share, "bulk": 10 * alive * (1 - share) * bulk}
        ),
        st.integers(0, 50),
        st.floats(0, 1),
        st.floats(0, 1),
    ),
    min_size=2,
    max_size=31,
)
demands = st.builds(
    lambda ready, young, queued, interactive, bulk, activity: Demand(
        ready, min(young, ready), queued, {"interactive": interactive, "bulk": bulk}, activity
    ),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 1_000),
    st.floats(0, 1e6) | st.just(math.inf),
    st.floats(0, 1e6),
    activities,
)
bounds_ = st.builds(
    lambda least, more, target, bulk: Bounds(
        least, None if more is None else max(1, least + more), target, bulk, 300.0
    ),
    st.integers(0, 5),
    st.none() | st.integers(0, 60),
    st.floats(0.1, 30),
    st.floats(1, 600),
)


@given(demands, bounds_)
def test_bounds_are_kept(asked: Demand, bounds: Bounds) -> None:
    found = processes_wanted(asked, bounds)
    assert found.processes >= bounds.min_processes
    assert bounds.max_processes is None or found.processes <= bounds.max_processes


@given(demands, bounds_)
def test_never_none_while_a_job_waits(asked: Demand, bounds: Bounds) -> None:
    found = processes_wanted(asked, bounds)
    assert found.processes or not asked.queued_jobs


@given(demands, bounds_, st.floats(0, 1e5), st.integers(0, 100))
def test_more_backlog_never_wants_fewer(asked: Demand, bounds: Bounds, more_s: float, more_jobs: int) -> None:
    longer = {job_class: seconds + more_s for job_class, seconds in asked.waiting_s.items()}
    grown = replace(asked, waiting_s=longer, queued_jobs=asked.queued_jobs + more_jobs)
    if math.inf not in asked.waiting_s.values():
        assert processes_wanted(grown, bounds).processes >= processes_wanted(asked, bounds).processes


@given(demands)
def test_never_fewer_than_ran_at_once_within_the_cooldown(asked: Demand) -> None:
    ran = max(slot.busy("interactive") for slot in asked.activity[1:])
    most = max(asked.ready, *(round(slot.alive) for slot in asked.activity[1:]), 0)
    assert processes_wanted(asked, replace(BOUNDS, max_processes=None)).processes >= min(math.ceil(ran - 1e-6), most)


@given(ready=st.integers(1, 10_000), share=st.floats(SHRINK_AT_SHARE, GROW_AT_SHARE))
def test_constant_load_between_the_shares_changes_nothing(ready: int, share: float) -> None:
    """At most to the next whole number: a third of a process can't be shrunk away."""
    busy = ready * share
    found = wanted(demand(ready, busy), replace(BOUNDS, max_processes=None))
    assert found.processes == ready


@given(busy=st.floats(0.01, 1_000), ready=st.integers(1, 2_000))
def test_constant_load_comes_to_rest(busy: float, ready: int) -> None:
    """Whatever size a fleet starts with, it changes once in each direction at most."""
    sizes, bounds = [max(ready, math.ceil(busy))], replace(BOUNDS, max_processes=None)
    for _ in range(4):
        sizes.append(wanted(demand(sizes[-1], busy), bounds).processes)
    assert len(set(sizes[1:])) <= 2
    assert sizes[-1] == sizes[-2]
    assert sizes[-1] * GROW_AT_SHARE >= busy - 1e-3


def test_busy_is_the_mean_of_the_last_half_minute() -> None:
    record = (Activity(5.0, 5.0, {"interactive": 5.0}), *slots(0.5, 1.0, count=9))
    assert busy_processes(record, "interactive") == pytest.approx(15.0 / 25.0)
    assert busy_processes((), "interactive") == 0.0
