"""Connections to the primary that Sentinels name: each asks them whenever it connects, so a fail-over is followed.

Not redis-py's own pools for Sentinels: with these classes the plain pools do, those of kombu and Celery too.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from copy import copy
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

#: What the primary is asked for is asked of a Sentinel too: where it is reached, and whom it trusts.
_SHARED = (
    "socket_connect_timeout",
    "socket_timeout",
    "protocol",
    "driver_info",
    "lib_name",
    "lib_version",
    "maint_notifications_config",
)
#: How long connections fail with the failure of another one. No longer than a waiting request pauses between two tries.
_REMEMBERED_S = 0.1
_QUESTION = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME")


class NoPrimary(redis.ConnectionError):
    """The Sentinels answer, and know no primary under this name. `says` continues "Redis at URL ..."."""

    def __init__(self, service: str) -> None:
        self.says = f"can't be reached: its Sentinels know no primary called {service}"
        super().__init__(self.says)


class NoSentinel(redis.ConnectionError):
    """No Sentinel could be asked; the failure of the last one, at `place`, is the cause."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(f"the Sentinel at {place} can't be asked")


class SilentSentinel(redis.TimeoutError):
    """No Sentinel could be asked; the last one, at `place`, did not answer in time."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(f"the Sentinel at {place} does not answer")


class Demoted(redis.ConnectionError):
    """The server that was the primary is a replica now; the next connection is made to the new primary."""


class _Known:
    """What all connections of the process that ask the same Sentinels for the same primary know of them.

    The order in which they are asked: one whose machine is away costs a time-out each time that it is asked, and the
    primary may be on that machine too. And the last answer or failure: in a fail-over hundreds of requests may wait, of
    which one at a time asks for all. Otherwise TLS with three Sentinels each would keep an event loop busy for longer
    than any time-out, and the Sentinels too, which are to elect.
    """

    def __init__(self, places: Sequence[tuple[str, int]]) -> None:
        self.places = tuple(places)
        self.turn = threading.Lock()
        #: Of asyncio, whose connections would each make one; reading the system's authorities takes long.
        self._context: Any = None
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._told: tuple[float, tuple[str, int]] | None = None
        self._failed: tuple[float, Exception] | None = None

    @property
    def turn_of_loop(self) -> asyncio.Lock:
        """Whose turn it is to ask, in the running event loop."""
        return self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def share_context(self, line: Any) -> None:
        """Let a connection of asyncio use the TLS context of the others."""
        if isinstance(line, redis.asyncio.SSLConnection):
            self._context = line.ssl_context = self._context or line.ssl_context

    def recall(self) -> tuple[str, int] | None:
        """Return what another connection was told a moment ago, None for nothing; raise what it failed of."""
        now = monotonic()
        if self._failed is not None and now - self._failed[0] < _REMEMBERED_S:
            # A copy: several threads may raise it.
            again = copy(self._failed[1])
            again.__cause__ = self._failed[1].__cause__
            raise again
        return self._told[1] if self._told is not None and now - self._told[0] < _REMEMBERED_S else None

    def told(self, sentinel: tuple[str, int], primary: tuple[str, int]) -> None:
        """Remember an answer, and ask the Sentinel that gave it first."""
        self.places = (sentinel, *(each for each in self.places if each != sentinel))
        self._told, self._failed = (monotonic(), primary), None

    def failed(self, error: Exception) -> None:
        """Remember a failure, of asking or of connecting to what was named."""
        self._told, self._failed = None, (monotonic(), error)

    def doubt(self) -> None:
        """Ask the first one last: it named a server that has been demoted."""
        self.places, self._told = (*self.places[1:], self.places[0]), None


_known: dict[object, _Known] = {}
# A thread that is asking is not there in a child, and would never give its turn back.
os.register_at_fork(after_in_child=_known.clear)


class _Asking:
    """What both kinds of connections share: whom to ask, and how to connect to them."""

    def __init__(
        self,
        *,
        sentinels: Sequence[Sequence[Any]],
        service: str,
        sentinel_username: str | None = None,
        sentinel_password: str | None = None,
        sentinel_ssl: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        places = tuple((str(host), int(port)) for host, port in sentinels)
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        who = (places, service, sentinel_username, sentinel_password, sentinel_ssl, repr(sorted(tls.items())))
        self._known = _known.setdefault(who, _Known(places))
        self._service = service
        self._over_tls = bool(tls) if sentinel_ssl is None else sentinel_ssl
        self._asked = {
            **{name: options[name] for name in _SHARED if name in options},
            **({"username": sentinel_username} if sentinel_username else {}),
            **({"password": sentinel_password} if sentinel_password else {}),
            **(tls if self._over_tls else {}),
        }

    def _read(self, answer: Sequence[Any] | None) -> tuple[str, int] | None:
        if answer is None:
            return None
        host, port = (each.decode() if isinstance(each, bytes) else str(each) for each in answer)
        return host, int(port)

    def _nobody(self, failures: Sequence[tuple[str, int, Exception]], asked: int) -> Exception:
        if len(failures) < asked:
            return NoPrimary(self._service)
        host, port, failure = failures[-1]
        silent = isinstance(failure, redis.TimeoutError | TimeoutError)
        told = (SilentSentinel if silent else NoSentinel)(f"{host}:{port}")
        told.__cause__ = failure
        return told


class _Following(_Asking):
    """A connection of threads; mixed into redis-py's."""

    def _connect(self) -> Any:
        with self._known.turn:
            self.host, self.port = self._known.recall() or self._primary()
        try:
            return super()._connect()  # type: ignore[misc]
        except Exception as error:
            self._known.failed(error)
            raise

    def _primary(self) -> tuple[str, int]:
        failures: list[tuple[str, int, Exception]] = []
        places = self._known.places
        kind = redis.SSLConnection if self._over_tls else redis.Connection
        for host, port in places:
            line = kind(host=host, port=port, retry=Retry(NoBackoff(), 0), **self._asked)
            try:
                line.connect()
                line.send_command(*_QUESTION, self._service)
                found = self._read(line.read_response())
            except (redis.RedisError, OSError) as error:
                failures.append((host, port, error))
                continue
            finally:
                line.disconnect()
            if found is not None:
                self._known.told((host, port), found)
                return found
        nobody = self._nobody(failures, len(places))
        self._known.failed(nobody)
        raise nobody

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ReadOnlyError:
            self._known.doubt()
            self.disconnect()  # type: ignore[attr-defined]
            raise Demoted("the primary has become a replica") from None


class _AsyncFollowing(_Asking):
    """A connection of an event loop; mixed into redis-py's."""

    async def _connect(self) -> None:
        self._known.share_context(self)
        async with self._known.turn_of_loop:
            self.host, self.port = self._known.recall() or await self._primary()
        try:
            await super()._connect()  # type: ignore[misc]
        except Exception as error:
            self._known.failed(error)
            raise

    async def _primary(self) -> tuple[str, int]:
        failures: list[tuple[str, int, Exception]] = []
        places = self._known.places
        kind = redis.asyncio.SSLConnection if self._over_tls else redis.asyncio.Connection
        for host, port in places:
            line = kind(host=host, port=port, retry=AsyncRetry(NoBackoff(), 0), **self._asked)
            self._known.share_context(line)
            try:
                await line.connect()
                await line.send_command(*_QUESTION, self._service)
                found = self._read(await line.read_response())
            except (redis.RedisError, OSError) as error:
                failures.append((host, port, error))
                continue
            finally:
                await line.disconnect()
            if found is not None:
                self._known.told((host, port), found)
                return found
        nobody = self._nobody(failures, len(places))
        self._known.failed(nobody)
        raise nobody

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ReadOnlyError:
            self._known.doubt()
            await self.disconnect()  # type: ignore[attr-defined]
            raise Demoted("the primary has become a replica") from None


class SentinelConnection(_Following, redis.Connection):
    """A connection to the primary."""


class SentinelTLSConnection(_Following, redis.SSLConnection):
    """A connection to the primary over TLS."""


class AsyncSentinelConnection(_AsyncFollowing, redis.asyncio.Connection):
    """A connection to the primary, for asyncio."""


class AsyncSentinelTLSConnection(_AsyncFollowing, redis.asyncio.SSLConnection):
    """A connection to the primary over TLS, for asyncio."""


#: The classes by the scheme of the URL.
CONNECTIONS: Mapping[str, Any] = {
    "redis+sentinel": SentinelConnection,
    "rediss+sentinel": SentinelTLSConnection,
}
ASYNC_CONNECTIONS: Mapping[str, Any] = {
    "redis+sentinel": AsyncSentinelConnection,
    "rediss+sentinel": AsyncSentinelTLSConnection,
}
