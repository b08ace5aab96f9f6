"""Durations of requests, counted in slots of time: quantiles within 5 %, over all processes, forgotten in time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.gateway.watch.latency import (
    WINDOW_S,
    Latencies,
    Quantiles,
    ask_latency,
    bucket_of,
    middle_s,
    quantile_ms,
    quantiles_of,
    read_latency,
)
from rerank_shared.keys import LATENCY_SLOT_S, LATENCY_TTL_S, Keys
from rerank_shared.redis.connections import connect_async
from rerank_shared.redis.server_clock import ServerClock
from rerank_shared.settings import Settings

NOW = 1_800_000_004.0
durations = st.floats(2e-4, 5e5)


class Clock(ServerClock):
    """A clock that stands where a test puts it."""

    def __init__(self, at: float = NOW) -> None:
        super().__init__(monotonic=lambda: 0.0, wall=lambda: at)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    opened = connect_async(settings)
    yield opened
    await opened.aclose()


class TestBuckets:
    @given(durations)
    def test_a_bucket_s_middle_is_within_five_percent(self, seconds: float) -> None:
        assert middle_s(bucket_of(seconds)) == pytest.approx(seconds, rel=0.05)

    @given(st.floats(allow_nan=True, allow_infinity=True))
    def test_whatever_a_clock_says_is_counted_somewhere(self, seconds: float) -> None:
        bucket = bucket_of(seconds)
        assert 0 <= bucket <= 240
        assert math.isfinite(middle_s(bucket))

    @given(durations, durations)
    def test_longer_is_never_in_a_lower_bucket(self, one: float, other: float) -> None:
        assert (one <= other) <= (bucket_of(one) <= bucket_of(other))


class TestQuantiles:
    @given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([1, 50, 95, 99, 100]))
    def test_as_far_as_five_percent_from_the_true_one(self, seconds: list[float], percent: int) -> None:
        rank = max(1, math.ceil(len(seconds) * percent / 100))
        true_ms = sorted(seconds)[rank - 1] * 1000
        assert quantile_ms(Counter(map(bucket_of, seconds)), percent) == pytest.approx(true_ms, rel=0.05)

    @given(st.lists(durations, min_size=1, max_size=50))
    def test_are_in_order(self, seconds: list[float]) -> None:
        found = quantiles_of(Counter(map(bucket_of, seconds)))
        assert found.count == len(seconds)
        assert found.p50_ms <= found.p95_ms <= found.p99_ms


class TestRead:
    def test_classes_stand_in_the_order_of_k(self) -> None:
        fields = {name.encode() + b"|80": b"1" for name in ("251+", "11-25", "101-250", "1-10", "51-100", "26-50")}
        assert list(read_latency([fields], NOW).by_k) == ["1-10", "11-25", "26-50", "51-100", "101-250", "251+"]

    def test_slots_are_added_up(self) -> None:
        found = read_latency([{b"1-10|50": b"3"}, {}, {b"1-10|50": b"4", b"11-25|60": b"1"}], NOW)
        assert {k: each.count for k, each in found.by_k.items()} == {"1-10": 7, "11-25": 1}

    def test_the_rate_is_that_of_the_last_minute(self) -> None:
        # Six slots, of which the newest has lasted four seconds.
        answers = [{b"1-10|50": b"9"}] * 6 + [{b"1-10|50": b"1000"}] * 25
        assert read_latency(answers, NOW).requests_per_s == pytest.approx(6 * 9 / 54)

    def test_nothing_is_no_rate(self) -> None:
        assert read_latency([{}] * 31, NOW).requests_per_s == 0.0

    def test_asks_for_the_slots_of_the_window_newest_first(self) -> None:
        pipe = redis.Redis().pipeline(transaction=False)
        ask_latency(pipe, Keys("fleet"), NOW)
        asked = [args[1] for args, _ in pipe.command_stack]
        newest = int(NOW // LATENCY_SLOT_S)
        assert asked == [Keys("fleet").latency(newest - back) for back in range(WINDOW_S // LATENCY_SLOT_S + 1)]


async def read(client: redis.asyncio.Redis, keys: Keys, window_s: float = WINDOW_S) -> dict[str, Quantiles]:
    """Return what the page shows of the window that ends now."""
    pipe = client.pipeline(transaction=False)
    ask_latency(pipe, keys, NOW, window_s)
    return read_latency(await pipe.execute(), NOW).by_k


async def test_all_processes_are_seen_in_one(client: redis.asyncio.Redis, keys: Keys) -> None:
    one, other = Latencies(keys, Clock()), Latencies(keys, Clock(NOW - 45))
    for seconds in (0.01, 0.02, 0.03):
        one.observe(8, seconds)
        other.observe(8, 10 * seconds)
    other.observe(300, 2.0)
    await one.flush(client)
    await other.flush(client)
    found = await read(client, keys)
    assert {k: each.count for k, each in found.items()} == {"1-10": 6, "251+": 1}
    assert found["1-10"].p50_ms == pytest.approx(30, rel=0.05)
    assert found["1-10"].p99_ms == pytest.approx(300, rel=0.05)


async def test_what_is_older_than_the_window_is_not_read(client: redis.asyncio.Redis, keys: Keys) -> None:
    old = Latencies(keys, Clock(NOW - WINDOW_S - LATENCY_SLOT_S))
    old.observe(1, 1.0)
    await old.flush(client)
    assert await read(client, keys) == {}
    assert await read(client, keys, WINDOW_S + LATENCY_SLOT_S) != {}


async def test_a_slot_ends_by_itself(client: redis.asyncio.Redis, keys: Keys) -> None:
    latencies = Latencies(keys, Clock())
    latencies.observe(1, 1.0)
    await latencies.flush(client)
    assert 0 < await client.ttl(keys.latency(int(NOW // LATENCY_SLOT_S))) <= LATENCY_TTL_S
    assert LATENCY_TTL_S > WINDOW_S + LATENCY_SLOT_S


async def test_a_count_is_handed_over_once(client: redis.asyncio.Redis, keys: Keys) -> None:
    latencies = Latencies(keys, Clock())
    latencies.observe(1, 1.0)
    assert latencies.pending
    await latencies.flush(client)
    assert not latencies.pending
    await latencies.flush(client)
    assert (await read(client, keys))["1-10"].count == 1


async def test_tells_when_there_is_something_to_hand_over(client: redis.asyncio.Redis, keys: Keys) -> None:
    told = []
    latencies = Latencies(keys, Clock())
    latencies.on_pending = lambda: told.append(latencies.pending)
    latencies.observe(1, 1.0)
    latencies.observe(1, 1.0)
    assert told == [True]
    await latencies.flush(client)
    latencies.observe(1, 1.0)
    assert told == [True, True]
