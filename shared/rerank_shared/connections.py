"""Connections to Redis, sync and asyncio, and the one place where its errors become ours.

Time-outs are explicit: redis-py 8 gives every socket 5 s by default, which breaks blocking reads, and retries for
seconds before it tells. Here a command fails fast, and the caller, who knows the deadline, decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
from kombu.exceptions import OperationalError
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.settings import Settings

CONNECT_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 5.0
_RETRIES = 2
_BACKOFF = ExponentialBackoff(cap=0.1, base=0.02)

#: What redis-py and kombu raise when the server is away. OSError covers sockets that neither wraps.
OUTAGES: tuple[type[BaseException], ...] = (
    redis.ConnectionError,
    redis.TimeoutError,
    OperationalError,
    OSError,
)


def connect(settings: Settings) -> redis.Redis:
    """Return a client with a connection pool; nothing is connected until it is used."""
    client: redis.Redis = _from_url(redis.Redis, settings, Retry(_BACKOFF, _RETRIES))
    return client


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """Return an asyncio client; it belongs to the event loop that first uses it."""
    client: redis.asyncio.Redis = _from_url(redis.asyncio.Redis, settings, AsyncRetry(_BACKOFF, _RETRIES))
    return client


def _from_url(client: Any, settings: Settings, retry: Any) -> Any:
    try:
        return client.from_url(
            redis_url(settings),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=COMMAND_TIMEOUT_S,
            retry=retry,
            health_check_interval=0,
        )
    except ValueError as error:
        raise ConfigurationError(f"RERANK_REDIS_URL: {error}") from None


def redis_url(settings: Settings) -> str:
    """Return the URL as redis-py spells it (unix:///path for a socket)."""
    url = settings.redis_url.get_secret_value()
    return "unix://" + url.removeprefix("redis+socket://") if url.startswith("redis+socket://") else url


def broker_url(settings: Settings) -> str:
    """Return the URL as Celery's broker spells it (redis+socket:///path for a socket)."""
    url = settings.redis_url.get_secret_value()
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url


def masked_url(settings: Settings) -> str:
    """Return the URL with its password hidden."""
    parts = urlsplit(redis_url(settings))
    if parts.password is None:
        return redis_url(settings)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


@contextmanager
def outages_told(settings: Settings, doing: str) -> Iterator[None]:
    """Turn any loss of the server inside the block into QueueUnavailable that says what was being done."""
    try:
        yield
    except OUTAGES as error:
        raise QueueUnavailable(
            f"Redis at {masked_url(settings)} can't be reached while {doing}: {error}. "
            "Start one with `rerank-fleet server`, or set RERANK_REDIS_URL."
        ) from error
    except redis.ResponseError as error:
        raise QueueUnavailable(f"Redis at {masked_url(settings)} refused {doing}: {error}") from error
