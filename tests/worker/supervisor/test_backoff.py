"""The back-off on a clock that stands still until it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_worker.supervisor.backoff import Backoff, RestartPolicy


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_after_life(backoff: Backoff, clock: Clock, life_s: float) -> float:
    backoff.started()
    clock.now += life_s
    return backoff.died()


def test_waits_double_from_a_tenth_of_a_second_to_half_a_minute() -> None:
    clock = Clock()
    backoff = Backoff(RestartPolicy(), clock)
    waits = [wait_after_life(backoff, clock, 1.0) for _ in range(12)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]


@pytest.mark.parametrize(("life_s", "wait_s"), [(59.9, 0.4), (60.0, 0.1), (3600.0, 0.1)])
def test_a_healthy_life_is_forgiven_its_past(life_s: float, wait_s: float) -> None:
    clock = Clock()
    backoff = Backoff(RestartPolicy(), clock)
    for _ in range(2):
        wait_after_life(backoff, clock, 1.0)
    assert wait_after_life(backoff, clock, life_s) == wait_s


def test_the_time_between_lives_is_no_life() -> None:
    clock = Clock()
    backoff = Backoff(RestartPolicy(), clock)
    wait_after_life(backoff, clock, 1.0)
    clock.now += 3600.0
    assert wait_after_life(backoff, clock, 1.0) == 0.2


def test_one_that_could_not_be_started_counts_as_dead() -> None:
    clock = Clock()
    backoff = Backoff(RestartPolicy(), clock)
    backoff.started()
    clock.now += 1.0
    backoff.died()
    clock.now += 3600.0
    assert backoff.died() == 0.2


@given(deaths=st.integers(1, 10**9), first_s=st.floats(0.001, 10.0), longest_s=st.floats(10.0, 100.0))
def test_a_wait_never_shrinks_and_never_passes_its_bound(deaths: int, first_s: float, longest_s: float) -> None:
    policy = RestartPolicy(first_s=first_s, longest_s=longest_s)
    assert first_s <= policy.delay_s(deaths) <= policy.delay_s(deaths + 1) <= longest_s
