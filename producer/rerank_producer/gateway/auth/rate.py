"""Tokens that an API key may have scored a second, over all gateway processes: a bucket in Redis that fills by itself.

A request pays what it is expected to cost before it runs, and the difference to what the model ran afterwards: cached
pairs cost nothing. One that costs more than the bucket holds goes when the bucket is full, and leaves a debt; so no
request is too large for ever, and the rate holds in the long run all the same.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from rerank_producer.gateway.apis.ask import Ask, Problem
from rerank_producer.gateway.auth.keyfile import ApiKey
from rerank_producer.gateway.http.refused import Refused
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.token_ids import Content, TokenIds
from rerank_shared.errors import DeadlineTooShort, InvalidRequest, Overloaded, QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.queue.scripts import BUCKET
from rerank_shared.redis.connections import most_connections, outages_told
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: After these nothing was computed, and nothing will be.
_FREE = (InvalidRequest, Overloaded, DeadlineTooShort, QueueUnavailable, Refused)
#: redis-py raises when its pool is used up; more requests at once than this take turns.
_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Level:
    """What is in a key's bucket."""

    tokens: float
    burst_tokens: float
    tokens_per_s: float

    def wait_s(self, tokens: float) -> float:
        """Return after how long as many tokens will be there if nothing else is spent; or all that it holds."""
        return max(0.0, (min(tokens, self.burst_tokens) - self.tokens) / self.tokens_per_s)

    @property
    def headers(self) -> dict[str, str]:
        """The level as headers, by the names that OpenAI gave them: those are what SDKs and LiteLLM read.

        Not the RateLimit fields of draft-ietf-httpapi-ratelimit-headers, whose names and form have changed from one
        revision to the next; in the 11th it is still a draft.
        """
        return {
            "x-ratelimit-limit-tokens": str(math.floor(self.burst_tokens)),
            "x-ratelimit-remaining-tokens": str(max(0, math.floor(self.tokens))),
            "x-ratelimit-reset-tokens": f"{self.wait_s(self.burst_tokens):.3f}s",
        }


@dataclass(slots=True)
class Bill:
    """What one request has paid. `level` is None for a key without a limit."""

    paid_tokens: int = 0
    level: Level | None = None
    used_tokens: int | None = None

    def used(self, tokens: int) -> None:
        """Add tokens that were run for it: the difference to what was paid is given back, or asked for."""
        self.used_tokens = (self.used_tokens or 0) + tokens

    @property
    def headers(self) -> Mapping[str, str]:
        """What to tell the caller of its limit, as of when it paid; empty without one."""
        return {} if self.level is None else self.level.headers


class Meter:
    """Charges keys for what they ask. `redis` is an asyncio client."""

    def __init__(self, redis: Any, keys: Keys, settings: Settings) -> None:
        self._redis = redis
        self._keys = keys
        self._settings = settings
        self._turns = asyncio.Semaphore(most_connections(settings, _CONNECTIONS))

    @asynccontextmanager
    async def paying(self, key: ApiKey | None, asks: Sequence[Ask]) -> AsyncIterator[Bill]:
        """Pay for all asks of a request before the block, settle after it by `Bill.used`; without that it stays paid.

        A block that fails before anything could be computed costs nothing; one that fails later, or is cancelled, all
        that was paid. Raises Refused (429) with the seconds after which the same request will pass, QueueUnavailable.
        """
        if key is None or key.tokens_per_s is None:
            yield Bill()
            return
        paid = sum(estimated_tokens(ask, self._settings.max_length) for ask in asks)
        bill = Bill(paid, await self.spend(key, paid))
        try:
            yield bill
        except _FREE:
            await self.give_back(key, paid - (bill.used_tokens or 0))
            raise
        if bill.used_tokens is not None:
            await self.give_back(key, paid - bill.used_tokens)

    async def spend(self, key: ApiKey, tokens: int) -> Level:
        """Take tokens out of a key's bucket; returns what is left. Raises Refused (429) and QueueUnavailable."""
        with outages_told(self._settings, "charging an API key"):
            taken, level = await self._run(key, tokens, "ask")
        if not taken:
            raise _rate_limited(key, tokens, level)
        return level

    async def give_back(self, key: ApiKey, tokens: int) -> None:
        """Put tokens back that were not used; below 0 takes what was used beyond the estimate.

        Never fails a request that has its answer: what could not be given back in an outage is logged.
        """
        if tokens == 0:
            return
        try:
            with outages_told(self._settings, "settling what an API key has used"):
                await self._run(key, -tokens, "take")
        except QueueUnavailable as error:
            log.warning("tokens not given back key=%s tokens=%d error=%s", key.key_id, tokens, error)

    async def _run(self, key: ApiKey, tokens: int, how: Literal["ask", "take"]) -> tuple[bool, Level]:
        rate, burst = key.tokens_per_s or 0.0, key.burst_tokens or 0.0
        bucket = self._keys.bucket(key.key_id)
        async with self._turns:
            taken, level = await BUCKET.on(self._redis, [bucket], repr(rate), repr(burst), tokens, how)
        return bool(taken), Level(float(level), burst, rate)


def estimated_tokens(ask: Ask, max_length: int | None = None) -> int:
    """Return what an ask is expected to cost: the tokens of all its pairs, as the fleet's own backlog estimates them.

    `max_length` is for asks that name none. What is no document counts as an empty one; it will be refused later.
    """
    contents = [_content(document) for document in ask.documents]
    return sum(estimate_lengths(ask.query, contents, ask.max_length or max_length))


def _content(document: str | Mapping[str, Any]) -> Content:
    if isinstance(document, str):
        return document
    text, ids = document.get("text"), document.get("token_ids")
    if isinstance(text, str):
        return text
    return TokenIds.of([0] * len(ids)) if isinstance(ids, list | tuple) else ""


def _rate_limited(key: ApiKey, tokens: int, level: Level) -> Refused:
    # At least 1: what is refused has to wait.
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
