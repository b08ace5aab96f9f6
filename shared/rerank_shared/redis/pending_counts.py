"""Counts of one process on their way to hashes in Redis: kept in memory, and added once a second.

So a request costs no round trip. An outage loses counts and never doubles them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from rerank_shared.keys import Keys
from rerank_shared.redis.at_any_limit import write_if_room


class PendingCounts:
    """Counts by key and field that are not in Redis yet. For one event loop."""

    def __init__(self, keys: Keys, life_s: int) -> None:
        """`life_s`: how long a hash lives after the last flush to it."""
        #: Called when there is something to flush and was nothing before.
        self.on_pending: Callable[[], None] = _nothing
        self._keys = keys
        self._life_s = life_s
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def pending(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._counts)

    def add(self, key: str, field: str, count: int = 1) -> None:
        """Count so many more, or fewer, under a field of the hash `key`."""
        idle = not self._counts
        self._counts[key, field] += count
        if idle:
            self.on_pending()

    async def flush(self, client: Any) -> None:
        """Write the counts to Redis and forget them, also where that fails. Raises redis-py's errors."""
        if self._counts:
            await self.move_to(client)

    def move_to(self, pipe: Any) -> Any:
        """Queue the counts on a pipeline and forget them; on a client, return what is to be awaited."""
        counts, self._counts = self._counts, Counter()

        def fill(words: Any) -> None:
            for (key, field), count in counts.items():
                words.hincrby(key, field, count)
            for key in {key for key, _ in counts}:
                words.expire(key, self._life_s)

        # A full server has no memory for figures, and a line in the log a second would help no operator.
        return write_if_room(pipe, self._keys, fill)


def _nothing() -> None:
    pass
