"""The listener: receives a client's answers on one connection. Subscribes, delivers, notices silence, connects again.

Written once for threads and for asyncio: a `Line` of a thread blocks where one of an event loop suspends. Only `run()`
touches the line; other code changes `pending` and wakes the line by an empty message on the reply channel.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis

from rerank_producer._io.pending import Pending, Signal
from rerank_shared.redis.connections import OUTAGES
from rerank_shared.redis.outage import outage_of

log = logging.getLogger(__name__)

#: Longest wait for a message; an empty message ends the wait sooner.
_POLL_S = 1.0
#: A line without a message for this long is pinged, and given up if no answer comes for as long again.
_SILENCE_S = 5.0
_SUBSCRIBE_S = 2.0
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.05, 1.0

WAKE = b""
_LOSSES: tuple[type[BaseException], ...] = (*OUTAGES, redis.RedisError)


class Line(Protocol):
    """A subscription with the methods of redis-py's, awaitable."""

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to channels; a message of type subscribe confirms each."""

    async def unsubscribe(self, *channels: str) -> None:
        """Unsubscribe from channels."""

    async def ping(self) -> None:
        """Ask for a sign of life, which arrives as a message."""

    async def hear(self, wait_s: float) -> dict[str, Any] | None:
        """Return the next message, None if there is none within `wait_s` seconds."""

    async def aclose(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class Listener:
    """Listens on `reply_channel` and on the channels that `pending` names.

    `settled` is set when it is subscribed, or when it is clear that it can't be for now; a new request waits for that.
    """

    reply_channel: str
    pending: Pending
    open_line: Callable[[], Line]
    pause: Callable[[float], Awaitable[None]]
    settled: Signal
    clock: Callable[[], float]
    closing: bool = False
    _failures: int = 0
    _was_up: bool = field(default=False)

    async def run(self) -> None:
        """Listen until `closing` is set; log an outage once and wait it out."""
        while not self.closing:
            line = self.open_line()
            try:
                await self._subscribe(line)
                self._tell_up()
                await self._serve(line)
            except _LOSSES as error:
                self._tell_down(error)
            finally:
                await line.aclose()
            if self._failures and not self.closing:
                await self.pause(min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(self._failures - 1, 10)))

    async def _subscribe(self, line: Line) -> None:
        await line.subscribe(self.reply_channel)
        give_up = self.clock() + _SUBSCRIBE_S
        while (left_s := give_up - self.clock()) > 0:
            message = await line.hear(left_s)
            if message is not None and message["type"] == "subscribe":
                return
        raise redis.TimeoutError("subscribing was not confirmed")

    def _tell_up(self) -> None:
        if self._failures:
            log.warning("reply channel restored attempts=%d", self._failures)
            self.pending.reconnected()
        self._failures, self._was_up = 0, True
        self.settled.set()

    def _tell_down(self, error: BaseException) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("reply channel lost: redis %s", outage_of(error).says)
        if self._was_up and self._failures == 1:
            self.settled.clear()
        else:
            self.settled.set()

    async def _serve(self, line: Line) -> None:
        subscribed: set[str] = set()
        revision = -1
        heard_at, asked_at = self.clock(), None
        while not self.closing:
            if revision != self.pending.revision:
                revision = self.pending.revision
                subscribed = await self._resubscribe(line, subscribed)
            message = await line.hear(_POLL_S)
            now = self.clock()
            if message is not None:
                heard_at, asked_at = now, None
                self._take(message)
            elif asked_at is None and now - heard_at >= _SILENCE_S:
                await line.ping()
                asked_at = now
            elif asked_at is not None and now - asked_at >= _SILENCE_S:
                raise redis.TimeoutError("no sign of life")

    async def _resubscribe(self, line: Line, subscribed: set[str]) -> set[str]:
        wanted = self.pending.channels()
        if new := wanted - subscribed:
            await line.subscribe(*sorted(new))
        if old := subscribed - wanted:
            await line.unsubscribe(*sorted(old))
        return wanted

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "message" and message["data"] != WAKE:
            self.pending.deliver(message["data"])
        elif message["type"] == "subscribe":
            self.pending.subscribed(message["channel"].decode())
