"""The live view of the fleet: one task reads Redis once a second while there are listeners, however many.

The same task flushes the counts of requests, with listeners or without. All listeners share the latest frame:
a slow listener misses frames and makes no other wait. An outage of Redis is a frame like any other. No frame names the
server's address.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import redis
from pydantic_core import to_json

from rerank_producer._io.aio import set_within
from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.watch.cache_watch import CacheWatch
from rerank_producer.gateway.watch.fleet_view import FleetView, view_of
from rerank_producer.gateway.watch.latency import Latencies, ask_latency, read_latency
from rerank_producer.gateway.watch.remembered import Remembered
from rerank_producer.gateway.watch.route_reading import RouteReading
from rerank_producer.routed.figures import RoutedCounts
from rerank_shared.cache import ask_counters, read_counters
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import QueueUnavailable, RerankError
from rerank_shared.fleet_state import StateQuestions
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect_async
from rerank_shared.redis.outage import outage_of
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: Headers of a response with the stream; proxies must not hold frames back.
STREAM_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_INTERVAL_S = 1.0
_KEEP_ALIVE_S = 10.0
#: Listeners learn of a server that does not answer within a few frames.
_TIMEOUT_S = 1.5
_HELLO = b"retry: 2000\n\n"
_ALIVE = b": alive\n\n"
_AWAY = "the gateway can't reach its Redis server; it tries again every second"
_ENDING = "this gateway process is ending"


class Live:
    """One gateway process's view of the fleet. Made anywhere, used in one event loop, closed from anywhere in it."""

    def __init__(
        self, settings: Settings, latencies: Latencies, routed: RoutedCounts, *, max_listeners: int = 50
    ) -> None:
        self._counts = (latencies, routed)
        self._reader = _Reader(settings, self._counts)
        latencies.on_pending = routed.on_pending = self._ensure_running
        self._max_listeners = max_listeners
        self._listeners: set[asyncio.Event] = set()
        self._frame = b""
        self._framed_at = float("-inf")
        self._closed = False
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return len(self._listeners)

    async def state(self) -> FleetView:
        """Return the fleet as it is, at most a second old. Raises QueueUnavailable."""
        if self._closed:
            raise QueueUnavailable(_ENDING)
        # Its task closes the connection when it ends.
        self._ensure_running()
        try:
            return await self._reader.read()
        except (redis.RedisError, OSError) as error:
            raise QueueUnavailable(_AWAY, outage_of(error).kind) from None

    def stream(self, watches: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Return frames as server-sent events until `watches` is false or the view is closed.

        Raises Refused beyond the limit of listeners.
        """
        if self._closed or len(self._listeners) >= self._max_listeners:
            message = f"{len(self._listeners)} pages watch the fleet through this gateway process, its limit"
            message = _ENDING if self._closed else message
            raise Refused(Problem(503, "overloaded", message, retryable=True, retry_after_s=10.0))
        return self._frames(watches)

    async def _frames(self, watches: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        news = asyncio.Event()
        self._listeners.add(news)
        try:
            self._ensure_running()
            yield _HELLO
            if time.monotonic() - self._framed_at < 2 * _INTERVAL_S:
                yield self._frame
            else:
                self._wake.set()
            while not self._closed:
                fresh = await set_within(news, _KEEP_ALIVE_S)
                news.clear()
                if self._closed or not await watches():
                    return
                yield self._frame if fresh else _ALIVE
        finally:
            self._listeners.discard(news)

    def close(self) -> None:
        """End all streams and the task behind them; a signal handler may call it."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    async def aclose(self) -> None:
        """As `close`, and wait until connections are closed."""
        self.close()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _wake_all(self) -> None:
        self._wake.set()
        for news in self._listeners:
            news.set()

    def _ensure_running(self) -> None:
        if self._task is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="rerank-live")

    async def _run(self) -> None:
        try:
            while not self._closed:
                await self._turn()
                await set_within(self._wake, _INTERVAL_S)
                self._wake.clear()
        finally:
            await self._reader.aclose()

    async def _turn(self) -> None:
        watched = bool(self._listeners)
        if not watched and not any(counts.pending for counts in self._counts):
            return
        try:
            await self._reader.flush()
            event = (await self._reader.read()).model_dump(by_alias=True) if watched else None
        except (redis.RedisError, OSError) as error:
            log.debug("can't read the fleet: redis %s", outage_of(error).says)
            event = _error_event(QueueUnavailable(_AWAY))
        except RerankError as error:
            event = _error_event(error)
        except Exception:
            # Without this task every page would freeze silently.
            log.exception("can't read the fleet, this is a bug")
            event = _error_event(RerankError("the state of the fleet could not be read"))
        if event is not None:
            self._frame = b"data: " + to_json(event) + b"\n\n"
            self._framed_at = time.monotonic()
            for news in self._listeners:
                news.set()


class _Reader:
    """Reads the view, at most once an interval; its connection is made when it is first used."""

    def __init__(self, settings: Settings, counts: tuple[Latencies, RoutedCounts]) -> None:
        self._settings = settings
        self._keys = Keys(settings.namespace)
        self._model = name_of(settings.model)
        self._counts = counts
        self._clock = counts[0].clock
        self._client: Any = None
        self._synchronised = False
        self._cache = CacheWatch()
        self._routes = RouteReading(self._keys)
        self._view = Remembered(self._read, 0.9 * _INTERVAL_S)

    async def flush(self) -> None:
        for counts in self._counts:
            await counts.flush(self._connected())

    async def read(self) -> FleetView:
        return await self._view.get()

    async def aclose(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _connected(self) -> Any:
        self._client = self._client or connect_async(self._settings, timeout_s=_TIMEOUT_S)
        return self._client

    async def _read(self) -> FleetView:
        client = self._connected()
        if not self._synchronised:
            asked_at = self._clock.monotonic()
            self._clock.synchronise(await client.time(), asked_at)
            self._synchronised = True
        now, asked_at = self._clock.epoch(), self._clock.monotonic()
        questions = StateQuestions(self._keys, self._model, now)
        pipe = client.pipeline(transaction=False)
        pipe.time()
        ask_counters(pipe, self._keys)
        questions.ask_first(pipe)
        self._routes.ask(pipe)
        ask_latency(pipe, self._keys, now)
        server_time, counters, workers, pools, models, table, *of_latency = await pipe.execute()
        self._clock.synchronise(server_time, asked_at)
        first = (workers, pools, models)
        questions.ask(pipe := client.pipeline(transaction=False), first)
        state = questions.read(first, await pipe.execute())
        routes = await self._routes.views(client, table, now)
        cache = self._cache.seen(*read_counters(counters))
        return view_of(state, self._model, cache, read_latency(of_latency, now), now, routes)


def _error_event(error: RerankError) -> dict[str, Any]:
    return {"status": "error", "error": {"code": error.code, "message": str(error)}}
