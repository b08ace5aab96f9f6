"""The hit rate of the last minute, from two counters."""

from __future__ import annotations

from rerank_producer.gateway.watch.cache_watch import CacheWatch
from rerank_producer.gateway.watch.fleet_view import CACHE_WINDOW_S, CacheView


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_look_knows_of_no_minute() -> None:
    watch = CacheWatch(Clock())
    assert watch.seen(70, 30) == CacheView(lookups=0, hit_rate=None)
    assert watch.seen(73, 31) == CacheView(lookups=4, hit_rate=0.75)


def test_what_is_older_than_the_window_does_not_count() -> None:
    watch = CacheWatch(clock := Clock())
    watch.seen(0, 0)
    clock.now = CACHE_WINDOW_S / 2
    watch.seen(0, 100)
    clock.now = CACHE_WINDOW_S + 1.0
    assert watch.seen(10, 100) == CacheView(lookups=10, hit_rate=1.0)


def test_a_cleared_cache_begins_anew() -> None:
    watch = CacheWatch(Clock())
    watch.seen(70, 30)
    assert watch.seen(0, 2) == CacheView(lookups=0, hit_rate=None)
    assert watch.seen(1, 3) == CacheView(lookups=2, hit_rate=0.5)
