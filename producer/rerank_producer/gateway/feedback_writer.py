"""Writes feedback that came over HTTP. Unlike a client's, the caller is told whether it was kept, and may try again."""

from __future__ import annotations

import asyncio
from typing import Any

from rerank_producer import metrics
from rerank_producer._io.port import TIMEOUT_S
from rerank_shared.errors import QueueUnavailable
from rerank_shared.feedback import APPEND, append_call
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import most_connections, outages_told
from rerank_shared.settings import Settings

#: Records that are written at once; further requests wait.
_CONNECTIONS = 16
#: A record that was not written by then is told as lost: its caller waits.
_PATIENCE_S = 2 * TIMEOUT_S


class FeedbackWriter:
    """The writer of one gateway process. `redis` is an asyncio client."""

    def __init__(self, redis: Any, keys: Keys, settings: Settings) -> None:
        self._redis, self._keys, self._settings = redis, keys, settings
        self._turns = asyncio.Semaphore(most_connections(settings, _CONNECTIONS))

    async def write(self, record: bytes) -> None:
        """Keep a record. Raises QueueUnavailable within seconds."""
        keys, args = append_call(self._keys, self._settings, record)
        try:
            async with asyncio.timeout(_PATIENCE_S), self._turns:
                with outages_told(self._settings, "keeping feedback"):
                    await APPEND.on(self._redis, keys, *args)
        except TimeoutError:
            metrics.FEEDBACK.labels("lost").inc()
            raise QueueUnavailable("feedback was not kept in time", "silent") from None
        except QueueUnavailable:
            metrics.FEEDBACK.labels("lost").inc()
            raise
        metrics.FEEDBACK.labels("stored").inc()
