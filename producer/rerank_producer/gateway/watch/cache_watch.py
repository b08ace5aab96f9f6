"""The hit rate of the score cache over the last minute, from two counters that grow until `cache clear`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from rerank_producer.gateway.watch.fleet_view import CACHE_WINDOW_S, CacheView


class CacheWatch:
    """Remembers what the counters were; looks that are further apart than the window leave it without a rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: deque[tuple[float, int, int]] = deque()

    def seen(self, hits: int, misses: int) -> CacheView:
        """Take the counters as they are now, and return the rate."""
        now, known = self._clock(), self._known
        if known and (hits < known[-1][1] or misses < known[-1][2]):
            # `cache clear` starts the counters again.
            known.clear()
        known.append((now, hits, misses))
        while known[0][0] < now - CACHE_WINDOW_S:
            known.popleft()
        found, lookups = hits - known[0][1], hits - known[0][1] + misses - known[0][2]
        return CacheView(lookups=lookups, hit_rate=found / lookups if lookups else None)
