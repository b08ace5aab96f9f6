"""Readiness: whether the fleet would answer a request now.

Balancers ask often, and no key is needed. So Redis is asked once at a time, and a few times a second at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rerank_producer.gateway.watch.remembered import Remembered
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import outages_told
from rerank_shared.redis.outage import LASTING
from rerank_shared.redis.server_clock import epoch_of
from rerank_shared.settings import Settings

_REMEMBERED_S = 0.25


class Readiness:
    """The readiness of a fleet, as of a moment ago. `redis` is an asyncio client."""

    def __init__(
        self, redis: Any, keys: Keys, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis, self._keys, self._settings = redis, keys, settings
        self._lacking = Remembered(self._ask, _REMEMBERED_S, clock)

    async def lacking(self) -> str | None:
        """Return the reason why the fleet is not ready; None if it is."""
        return await self._lacking.get()

    async def _ask(self) -> str | None:
        """Workers send heartbeats once they are warm, and announce what they serve."""
        try:
            with outages_told(self._settings, "looking for workers"):
                now = epoch_of(await self._redis.time())
                pipe: Any = self._redis.pipeline(transaction=False)
                pipe.zcount(self._keys.workers, now, "+inf")
                pipe.zrangebyscore(self._keys.models, now, "+inf")
                workers, models = await pipe.execute()
        except QueueUnavailable as error:
            return "Redis refuses the gateway" if error.reason in LASTING else "Redis can't be reached"
        if not workers:
            return "no worker is alive"
        return None if models else "no model is announced"
