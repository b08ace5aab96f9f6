"""The server's time on a monotonic clock."""

from __future__ import annotations

import pytest

from rerank_shared.redis.server_clock import ServerClock


class Times:
    def __init__(self) -> None:
        self.monotonic, self.wall = 50.0, 7_000.0


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> ServerClock:
    return ServerClock(lambda: times.monotonic, lambda: times.wall)


def test_the_host_is_believed_until_the_server_was_asked(clock: ServerClock, times: Times) -> None:
    times.monotonic += 2.0
    assert clock.epoch() == 7_002.0


def test_the_server_is_believed_then(clock: ServerClock, times: Times) -> None:
    asked_at = times.monotonic
    times.monotonic += 0.2
    clock.synchronise((9_000, 500_000), asked_at)
    # It was read half-way of the round trip.
    assert clock.epoch() == pytest.approx(9_000.6)
    times.monotonic += 10.0
    assert clock.epoch() == pytest.approx(9_010.6)


def test_a_jump_of_the_host_changes_nothing(clock: ServerClock, times: Times) -> None:
    before = clock.epoch()
    times.wall -= 3_600.0
    assert clock.epoch() == before


def test_an_answer_that_took_long_says_little(clock: ServerClock, times: Times) -> None:
    asked_at = times.monotonic
    times.monotonic += 4.0
    clock.synchronise((9_000, 0), asked_at)
    assert clock.epoch() == pytest.approx(9_002.0)
    clock.synchronise((9_000, 0), asked_at)
    clock.synchronise((9_100, 0), times.monotonic)
    assert clock.epoch() == pytest.approx(9_100.0)
    asked_at = times.monotonic
    times.monotonic += 5.0
    clock.synchronise((9_100, 0), asked_at)
    assert clock.epoch() == pytest.approx(9_105.0)
