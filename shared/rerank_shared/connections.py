"""Connections to Redis, sync and asyncio, and the one place where its errors become ours.

Time-outs are explicit: redis-py 8 gives every socket 5 s by default, which breaks blocking reads, and retries for
seconds before it tells. Here a command fails fast, and the caller, who knows the deadline, decides.
"""

from __future__ import annotations

import inspect
import re
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
#: redis-py reads any of its arguments from the query of a URL, the password too.
_PASSWORD_OPTION = re.compile(r"((?:^|&)password=)[^&]*", re.IGNORECASE)
_BACKOFF = ExponentialBackoff(cap=0.1, base=0.02)

#: What redis-py and kombu raise when the server is away. OSError covers sockets that neither wraps.
OUTAGES: tuple[type[BaseException], ...] = (
    redis.ConnectionError,
    redis.TimeoutError,
    OperationalError,
    OSError,
)
#: The same for who only wants to try again later: a full server or a replica answers, but with a refusal.
OUTAGES_AND_REFUSALS: tuple[type[BaseException], ...] = (*OUTAGES, redis.ResponseError)


def connect(settings: Settings, *, timeout_s: float | None = None) -> redis.Redis:
    """Return a client with a connection pool; nothing is connected until it is used.

    With `timeout_s`, connecting and each command may take that long, and what timed out is not tried again: for callers
    who would rather know than wait. A connection that was lost is still made anew, once.
    """
    retry = Retry(_BACKOFF, _RETRIES) if timeout_s is None else Retry(_BACKOFF, 1, (redis.ConnectionError,))
    client: redis.Redis = _from_url(redis.Redis, settings, retry, timeout_s)
    return client


def connect_async(settings: Settings, *, timeout_s: float | None = None) -> redis.asyncio.Redis:
    """As `connect`, for asyncio; the client belongs to the event loop that first uses it."""
    retry = AsyncRetry(_BACKOFF, _RETRIES) if timeout_s is None else AsyncRetry(_BACKOFF, 1, (redis.ConnectionError,))
    client: redis.asyncio.Redis = _from_url(redis.asyncio.Redis, settings, retry, timeout_s)
    return client


def _from_url(client: Any, settings: Settings, retry: Any, timeout_s: float | None) -> Any:
    try:
        return client.from_url(
            redis_url(settings),
            socket_connect_timeout=timeout_s or CONNECT_TIMEOUT_S,
            socket_timeout=timeout_s or COMMAND_TIMEOUT_S,
            retry=retry,
            health_check_interval=0,
            **_SILENT,
        )
    except ValueError as error:
        raise ConfigurationError(f"RERANK_REDIS_URL: {error}") from None


def _silent() -> dict[str, Any]:
    """Return the options by which redis-py sends no more than is needed when it connects: each thing that it says of
    itself or asks for is a round trip. Their names differ between its releases."""
    known = inspect.signature(redis.Redis.__init__).parameters
    options: dict[str, Any] = dict.fromkeys({"driver_info"} & known.keys() or {"lib_name", "lib_version"})
    if "maint_notifications_config" in known:
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options


_SILENT = _silent()


def redis_url(settings: Settings) -> str:
    """Return the URL as redis-py spells it (unix:///path for a socket)."""
    url = settings.redis_url.get_secret_value()
    return "unix://" + url.removeprefix("redis+socket://") if url.startswith("redis+socket://") else url


def broker_url(settings: Settings) -> str:
    """Return the URL as Celery's broker spells it (redis+socket:///path for a socket)."""
    url = settings.redis_url.get_secret_value()
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url


def masked_url(settings: Settings) -> str:
    """Return the URL with its password hidden, whether it stands before the host or in the query."""
    parts = urlsplit(redis_url(settings))
    query = _PASSWORD_OPTION.sub(r"\1***", parts.query)
    netloc = parts.netloc
    if parts.password is not None:
        netloc = f"{parts.username or ''}:***@{netloc.rpartition('@')[2]}"
    if (netloc, query) == (parts.netloc, parts.query):
        return redis_url(settings)
    return urlunsplit(parts._replace(netloc=netloc, query=query))


@contextmanager
def outages_told(settings: Settings, doing: str) -> Iterator[None]:
    """Turn any loss of the server inside the block into QueueUnavailable that says what was being done."""
    try:
        yield
    except OUTAGES as error:
        raise QueueUnavailable(
            f"Redis at {masked_url(settings)} can't be reached while {doing}: {str(error).rstrip('.')}. "
            "Start one with `rerank-fleet server`, or set RERANK_REDIS_URL."
        ) from error
    except redis.RedisError as error:
        raise QueueUnavailable(f"Redis at {masked_url(settings)} refused {doing}: {error}") from error
