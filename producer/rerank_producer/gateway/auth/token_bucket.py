"""Token buckets: the tokens a second that an API key may have scored, over all gateway processes. They lie in Redis.

A request reserves its estimated tokens before it runs. Afterwards the bucket gets the difference to the tokens that the
model ran, so cached pairs cost nothing. A request of more tokens than the bucket holds passes when the bucket is full,
and leaves a debt: no request is too large for ever, and the rate holds in the long run.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from rerank_producer._dispatch.failover import Failover
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer.apis.common.call import Problem, RerankCall
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyfile import ApiKey
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.token_ids import Content, TokenIds
from rerank_shared.errors import DeadlineTooShort, InvalidRequest, NoWorkers, Overloaded, QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import most_connections, outages_told
from rerank_shared.redis.scripts import Script
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
BUCKET = Script("bucket.lua")
#: Errors after which the fleet has computed nothing, and will compute nothing.
_FREE = (InvalidRequest, Overloaded, DeadlineTooShort, NoWorkers, QueueUnavailable, Refused)
#: redis-py raises when its pool is used up; more requests at once than this take turns.
_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class BucketLevel:
    """The level of a key's bucket, after a request has taken tokens or was refused them."""

    tokens: float
    burst_tokens: float
    tokens_per_s: float

    def wait_s(self, tokens: float) -> float:
        """Return the seconds until the bucket has so many tokens, or is full, if no other request takes any."""
        return max(0.0, (min(tokens, self.burst_tokens) - self.tokens) / self.tokens_per_s)

    @property
    def headers(self) -> dict[str, str]:
        """The level as headers, by OpenAI's names, which SDKs and LiteLLM read.

        Not the RateLimit fields of draft-ietf-httpapi-ratelimit-headers, whose names and form have changed from one
        revision to the next; in the 11th it is still a draft.
        """
        return {
            "x-ratelimit-limit-tokens": str(math.floor(self.burst_tokens)),
            "x-ratelimit-remaining-tokens": str(max(0, math.floor(self.tokens))),
            "x-ratelimit-reset-tokens": f"{self.wait_s(self.burst_tokens):.3f}s",
        }


@dataclass(slots=True)
class Reservation:
    """The tokens that one request has reserved. `level` is None for a key without a limit."""

    reserved_tokens: int = 0
    level: BucketLevel | None = None
    used_tokens: int | None = None

    def add_used(self, tokens: int) -> None:
        """Add tokens that the model ran for it; the difference to the reserved ones is settled at the end."""
        self.used_tokens = (self.used_tokens or 0) + tokens

    @property
    def headers(self) -> Mapping[str, str]:
        """The level as headers, as of the reservation; empty for a key without a limit."""
        return {} if self.level is None else self.level.headers


class _Sleeps:
    async def pause(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)


class TokenBuckets:
    """The buckets of all keys. `redis` is an asyncio client."""

    def __init__(self, redis: Any, keys: Keys, settings: Settings) -> None:
        self._redis = redis
        self._keys = keys
        self._settings = settings
        self._turns = asyncio.Semaphore(most_connections(settings, _CONNECTIONS))
        self._failover = Failover.of(settings, Clock())

    @asynccontextmanager
    async def reserve(
        self, key: ApiKey | None, calls: Sequence[RerankCall], within_s: float = 0.0
    ) -> AsyncIterator[Reservation]:
        """Reserve the tokens of all calls of a request for the block, and settle by Reservation.add_used after it.

        Without `add_used` the reserved tokens stay taken. A block that fails before the fleet could compute anything
        costs nothing. One that fails later, or is cancelled, costs the reserved tokens.

        A fail-over of the server is waited for, as the request itself waits, for `within_s` at most. Raises Refused
        (429) with the seconds after which the same request will pass, and QueueUnavailable.
        """
        if key is None or key.tokens_per_s is None:
            yield Reservation()
            return
        reserved = sum(estimated_tokens(call, self._settings.max_length) for call in calls)
        # Taken twice where the first server died between doing it and saying so: a limit is one of a rate.
        level = await self._failover.through(
            _Sleeps(), Deadline.after(within_s, self._failover.clock), lambda: self.take(key, reserved)
        )
        reservation = Reservation(reserved, level)
        try:
            yield reservation
        except _FREE:
            await self.give_back(key, reserved - (reservation.used_tokens or 0))
            raise
        if reservation.used_tokens is not None:
            await self.give_back(key, reserved - reservation.used_tokens)

    async def take(self, key: ApiKey, tokens: int) -> BucketLevel:
        """Take tokens out of a key's bucket; returns what is left. Raises Refused (429) and QueueUnavailable."""
        with outages_told(self._settings, "charging an API key"):
            taken, level = await self._run(key, tokens, "ask")
        if not taken:
            raise _rate_limited(key, tokens, level)
        return level

    async def give_back(self, key: ApiKey, tokens: int) -> None:
        """Put unused tokens back into a key's bucket; a negative number takes tokens that the estimate lacked.

        Never fails a request that has its answer: an outage is logged.
        """
        if tokens == 0:
            return
        try:
            with outages_told(self._settings, "settling what an API key has used"):
                await self._run(key, -tokens, "take")
        except QueueUnavailable as error:
            log.warning("tokens not given back key=%s tokens=%d error=%s", key.key_id, tokens, error)

    async def _run(self, key: ApiKey, tokens: int, how: Literal["ask", "take"]) -> tuple[bool, BucketLevel]:
        rate, burst = key.tokens_per_s or 0.0, key.burst_tokens or 0.0
        bucket = self._keys.bucket(key.key_id)
        async with self._turns:
            taken, level = await BUCKET.on(self._redis, [bucket], repr(rate), repr(burst), tokens, how)
        return bool(taken), BucketLevel(float(level), burst, rate)


def estimated_tokens(call: RerankCall, max_length: int | None = None) -> int:
    """Return the estimated tokens of a call's pairs, by the rule that estimates the fleet's backlog.

    `max_length` is for calls that name none. A value that is no document counts as an empty one; it is refused later.
    """
    contents = [_content(document) for document in call.documents]
    return sum(estimate_lengths(call.query, contents, call.max_length or max_length))


def _content(document: str | Mapping[str, Any]) -> Content:
    if isinstance(document, str):
        return document
    text, ids = document.get("text"), document.get("token_ids")
    if isinstance(text, str):
        return text
    return TokenIds.of([0] * len(ids)) if isinstance(ids, list | tuple) else ""


def _rate_limited(key: ApiKey, tokens: int, level: BucketLevel) -> Refused:
    # At least 1: a refused request has to wait.
    retry_after_s = math.ceil(level.wait_s(tokens))
    left = max(0, math.floor(level.tokens))
    message = (
        f"this request is about {tokens:,} tokens, and the API key {key.name!r} has {left:,} left of "
        f"{level.burst_tokens:,.0f}; {level.tokens_per_s:,.10g} a second flow in. Try again in {retry_after_s} s, or "
        "send fewer or shorter documents"
    )
    problem = Problem(
        429, "rate_limited", message, retryable=True, retry_after_s=float(retry_after_s), headers=level.headers
    )
    return Refused(problem)
