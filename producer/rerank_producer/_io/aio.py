"""The port of the asyncio client: native connections and one listening task, for one event loop.

No request takes a thread; cancelling one does, for Celery blocks. When its loop ends as `asyncio.run()` ends one, the
task closes all connections, so that none is left open even without `close()`. It holds no reference to its port, and
does the same once that is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rerank_producer._io.cancel import Revoker
from rerank_producer._io.cancel_threads import Background
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.listener import WAKE, Listener
from rerank_producer._io.pending import Pending, Waiter
from rerank_producer._io.port import TIMEOUT_S
from rerank_shared.cache import Lookup, LookupCounter
from rerank_shared.contract.messages import Score
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import ENQUEUE
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect_async, most_connections, outages_told
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: Connections in use at once; further requests wait. redis-py would raise when its pool of 100 is used up.
_CONNECTIONS = 32


class _AsyncLine:
    """A subscription of redis-py as a Line."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def subscribe(self, *channels: str) -> None:
        await self._pubsub.subscribe(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        await self._pubsub.unsubscribe(*channels)

    async def ping(self) -> None:
        await self._pubsub.ping()

    async def hear(self, wait_s: float) -> dict[str, Any] | None:
        message: dict[str, Any] | None = await self._pubsub.get_message(timeout=wait_s)
        return message

    async def aclose(self) -> None:
        await self._pubsub.aclose()


class AsyncPort:
    """One event loop's Port; made inside that loop."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._settings = settings
        self._background = background
        self._keys = Keys(settings.namespace)
        self.reply_to = self._keys.reply(uuid.uuid4().hex)
        self._redis = connect_async(settings, timeout_s=TIMEOUT_S)
        self._turns = asyncio.Semaphore(most_connections(settings, _CONNECTIONS))
        self._counter = LookupCounter(self._keys)
        self._pending = Pending()
        self._settled, self._needed = asyncio.Event(), asyncio.Event()
        line_redis = connect_async(settings, timeout_s=TIMEOUT_S)
        # The listener connects again by itself: it has to inform the waiters.
        line_redis.set_retry(Retry(NoBackoff(), 0))
        self._listener = Listener(
            reply_channel=self.reply_to,
            pending=self._pending,
            open_line=lambda: _AsyncLine(line_redis.pubsub()),
            pause=asyncio.sleep,
            settled=self._settled,
            clock=time.monotonic,
        )
        # An empty context: the task outlives the request that happens to start it.
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(
            _live(self._listener, self._needed, (self._redis, line_redis), self._counter),
            name="rerank-replies",
            context=contextvars.Context(),
        )
        weakref.finalize(self, _let_go, loop, self._listener, self._task).atexit = False

    @property
    def closed(self) -> bool:
        """Whether this loop needs a new port."""
        return self._task.done() or self._task.cancelling() > 0

    async def lookup(
        self, digests: Sequence[bytes], fill: Callable[[Any], None]
    ) -> tuple[list[Score | None], list[Any]]:
        async with self._turns:
            with outages_told(self._settings, "looking scores up"):
                pipe, lookup = self._redis.pipeline(transaction=False), Lookup(self._counter, digests)
                needed = lookup.add_to(pipe, fill)
                return lookup.read(await pipe.execute(raise_on_error=False), needed)

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        async with self._turns:
            with outages_told(self._settings, "handling a request"):
                pipe = self._redis.pipeline(transaction=False)
                fill(pipe)
                return await pipe.execute()

    async def enqueue(self, enqueue: Enqueue) -> None:
        async with self._turns:
            with outages_told(self._settings, f"enqueuing job {enqueue.jobs[0].job_id}"):
                keys, args = enqueue.call(self._keys)
                await ENQUEUE.on(self._redis, keys, *args)

    async def listen(self, job_ids: Sequence[str], channels: Mapping[str, str] | None = None) -> list[Waiter]:
        signal = asyncio.Event()
        waiters = [Waiter(job_id, signal, (channels or {}).get(job_id)) for job_id in job_ids]
        for waiter in waiters:
            self._pending.add(waiter)
        try:
            self._needed.set()
            await set_within(self._settled, TIMEOUT_S)
            if channels:
                await self._subscribed([waiter for waiter in waiters if waiter.channel is not None])
        except BaseException:
            self.forget(waiters)
            raise
        return waiters

    async def wait(self, waiter: Waiter, wait_s: float) -> None:
        signal = waiter.signal
        assert isinstance(signal, asyncio.Event)
        await set_within(signal, wait_s)
        signal.clear()

    async def pause(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)

    def forget(self, waiters: Sequence[Waiter]) -> None:
        for waiter in waiters:
            self._pending.remove(waiter)

    async def revoke(self, job_id: str) -> None:
        await asyncio.wrap_future(self._background.submit(Revoker.revoke, job_id))

    def withdraw_soon(self, job_ids: Sequence[str], fill: Callable[[Any], None]) -> None:
        self._background.submit(Revoker.withdraw, job_ids, fill).add_done_callback(_log_failure)

    async def aclose(self) -> None:
        """End the listener and close all connections; calls that still wait run into their deadlines."""
        # Python 3.11 loses a cancellation that comes just when `wait_for`, with which redis-py sends, is done; so the
        # flag is set too.
        self._listener.closing = True
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _subscribed(self, waiters: Sequence[Waiter]) -> None:
        await self.pipeline(lambda pipe: pipe.publish(self.reply_to, WAKE))
        give_up = time.monotonic() + TIMEOUT_S
        while any(not each.subscribed and each.answer is None for each in waiters):
            if (left_s := give_up - time.monotonic()) <= 0:
                return
            await self.wait(waiters[0], left_s)


async def _live(
    listener: Listener, needed: asyncio.Event, connections: tuple[Any, Any], counter: LookupCounter
) -> None:
    redis, line_redis = connections
    try:
        await needed.wait()
        await listener.run()
    finally:
        pipe = redis.pipeline(transaction=False)
        counter.add_to(pipe)
        with contextlib.suppress(*OUTAGES_AND_REFUSALS):
            await pipe.execute()
        await line_redis.aclose()
        await redis.aclose()


def _let_go(loop: asyncio.AbstractEventLoop, listener: Listener, task: asyncio.Task[None]) -> None:
    listener.closing = True
    # A loop that is closed has ended its tasks.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(task.cancel)


async def set_within(event: asyncio.Event, wait_s: float) -> bool:
    """Wait for an event, `wait_s` seconds at most; return whether it is set."""
    if not event.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await event.wait()
    return event.is_set()


def _log_failure(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.warning("jobs not withdrawn error=%s", error)
