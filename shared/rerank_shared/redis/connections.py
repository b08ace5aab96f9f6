"""Connections to Redis, sync and asyncio, and the one place where Redis exceptions become QueueUnavailable.

Time-outs are explicit: redis-py 8 gives every socket 5 s by default, which breaks blocking reads, and retries for
seconds before it raises. Here a command fails fast, and the caller, which knows the deadline, decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from kombu.exceptions import OperationalError
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from rerank_shared.errors import QueueUnavailable
from rerank_shared.redis import sentinel
from rerank_shared.redis.outage import Outage, outage_of
from rerank_shared.settings import FleetSettings
from rerank_shared.settings.redis.url import RedisUrl

CONNECT_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 5.0
_RETRIES = 2
_BACKOFF = ExponentialBackoff(cap=0.1, base=0.02)

#: The class of a connection, by the scheme of the URL.
CONNECTIONS: Mapping[str, Any] = {
    "redis": redis.Connection,
    "rediss": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
    **sentinel.CONNECTIONS,
}
_ASYNC_CONNECTIONS: Mapping[str, Any] = {
    "redis": redis.asyncio.Connection,
    "rediss": redis.asyncio.SSLConnection,
    "unix": redis.asyncio.UnixDomainSocketConnection,
    **sentinel.ASYNC_CONNECTIONS,
}

#: Exceptions of redis-py and kombu when the server is away. OSError covers sockets that neither wraps.
OUTAGES: tuple[type[BaseException], ...] = (
    redis.ConnectionError,
    redis.TimeoutError,
    OperationalError,
    OSError,
)
#: OUTAGES and refusals, for callers that only try again later: a full server or a replica answers, but with a refusal.
#: A server without the database refuses while redis-py connects, and a server that is no Redis may answer anything.
OUTAGES_AND_REFUSALS: tuple[type[BaseException], ...] = (*OUTAGES, redis.ResponseError, redis.InvalidResponse)
_ALL: tuple[type[BaseException], ...] = (*OUTAGES, redis.RedisError)


def connect(settings: FleetSettings, *, timeout_s: float | None = None) -> redis.Redis:
    """Return a client with a connection pool; nothing is connected until it is used.

    `timeout_s` bounds connecting and each command, and a command that timed out is not tried again: for callers that
    prefer an early error to a wait. A lost connection is still opened again, once. Time-outs in the URL take
    precedence.
    """
    retry = Retry(_BACKOFF, _RETRIES) if timeout_s is None else Retry(_BACKOFF, 1, (redis.ConnectionError,))
    pools = (redis.ConnectionPool, redis.BlockingConnectionPool)
    return redis.Redis.from_pool(_pool(settings, pools, CONNECTIONS, retry, timeout_s))


def connect_async(settings: FleetSettings, *, timeout_s: float | None = None) -> redis.asyncio.Redis:
    """Return a client as `connect` does, for asyncio; it belongs to the event loop that first uses it."""
    retry = AsyncRetry(_BACKOFF, _RETRIES) if timeout_s is None else AsyncRetry(_BACKOFF, 1, (redis.ConnectionError,))
    pools = (redis.asyncio.ConnectionPool, redis.asyncio.BlockingConnectionPool)
    return redis.asyncio.Redis.from_pool(_pool(settings, pools, _ASYNC_CONNECTIONS, retry, timeout_s))


def _pool(
    settings: FleetSettings, pools: tuple[Any, Any], classes: Mapping[str, Any], retry: Any, wait_s: float | None
) -> Any:
    url = url_of(settings)
    defaults = {
        "socket_connect_timeout": wait_s or CONNECT_TIMEOUT_S,
        "socket_timeout": wait_s or COMMAND_TIMEOUT_S,
        "health_check_interval": 0,
        **SILENT,
    }
    arguments = {**defaults, **url.connection_kwargs(), "connection_class": classes[url.scheme], "retry": retry}
    if url.max_connections is None:
        return pools[0](**arguments)
    # A plain pool raises when all connections are in use; a bound in the URL means that further callers wait.
    return pools[1](max_connections=url.max_connections, timeout=arguments["socket_timeout"], **arguments)


def _silent() -> dict[str, Any]:
    """Return the options that keep redis-py from sending more than needed when it connects.

    Each thing that it announces or asks for costs a round trip. The names of the options differ between its releases.
    """
    known = inspect.signature(redis.Redis.__init__).parameters
    options: dict[str, Any] = dict.fromkeys({"driver_info"} & known.keys() or {"lib_name", "lib_version"})
    if "maint_notifications_config" in known:
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options


#: Arguments of every connection.
SILENT = _silent()


def url_of(settings: FleetSettings) -> RedisUrl:
    """Return the parsed Redis URL of the settings. Raises ConfigurationError."""
    return RedisUrl.parse(settings.redis_url.get_secret_value())


def most_connections(settings: FleetSettings, otherwise: int) -> int:
    """Return the most connections of one client in use at once: `otherwise`, unless the URL says fewer."""
    return min(url_of(settings).max_connections or otherwise, otherwise)


def broker_url(settings: FleetSettings) -> str:
    """Return the URL as Celery's broker spells it (redis+socket:///path for a socket), without options."""
    return url_of(settings).for_kombu()


def masked_url(settings: FleetSettings) -> str:
    """Return the URL with its passwords hidden, wherever they stand."""
    return url_of(settings).masked


@contextmanager
def outages_told(settings: FleetSettings, doing: str) -> Iterator[None]:
    """Turn each Redis exception inside the block into QueueUnavailable; its message names the action `doing` and the
    reason.
    """
    try:
        yield
    except _ALL as error:
        outage = outage_of(error)
        # Not "from error": a printed trace would show the command, and with it a document.
        raise QueueUnavailable(told_of(outage, settings, doing), outage.kind) from None


def told_of(outage: Outage, settings: FleetSettings, doing: str) -> str:
    """Return a message that names the server, the outage, the action `doing` and the remedy."""
    url = url_of(settings)
    return f"Redis at {url.masked} {outage.says}, while {doing}. {outage.remedy(tls=url.tls)}"
