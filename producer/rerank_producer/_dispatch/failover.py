"""Fail-over: a step that finds the server away is tried again for a while, since another server may take its place.

Steps before a request is on the queue need it, and those that read what was submitted. A request that waits for its
answer waits through any outage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from rerank_producer._io.clock import Clock, Deadline
from rerank_shared.errors import QueueUnavailable
from rerank_shared.redis.connections import url_of
from rerank_shared.redis.outage import LASTING
from rerank_shared.settings import Settings

T = TypeVar("T")

#: Longer than Sentinels usually take: five seconds of silence, a vote, a promotion.
_WITH_SENTINELS_S = 15.0
_PAUSE_S = 0.1


class Pauses(Protocol):
    """Who can wait: a port, for threads or for an event loop."""

    async def pause(self, pause_s: float) -> None:
        """Return after so many seconds."""


@dataclass(frozen=True, slots=True)
class Failover:
    """How long a step waits for the server to come back; never beyond the deadline of its request."""

    patience_s: float
    clock: Clock

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Self:
        """Return the patience of the settings; where they name none, only Sentinels give a reason for any."""
        if settings.failover_s is not None:
            return cls(settings.failover_s, clock)
        return cls(_WITH_SENTINELS_S if url_of(settings).asks_sentinels else 0.0, clock)

    async def through(self, pauses: Pauses, deadline: Deadline, step: Callable[[], Awaitable[T]]) -> T:
        """Return what `step` returns. Raises QueueUnavailable where waiting can't help, or has not helped."""
        give_up = min(deadline.at, self.clock.monotonic() + self.patience_s)
        while True:
            try:
                return await step()
            except QueueUnavailable as error:
                if error.reason in LASTING or self.clock.monotonic() + _PAUSE_S > give_up:
                    raise
            await pauses.pause(_PAUSE_S)
