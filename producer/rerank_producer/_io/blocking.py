"""The port of the sync client: pooled connections for any number of threads, and one listening thread.

Nothing is connected and no thread is started before it is needed. The thread is a daemon and delays no exit. It holds
no reference to its port, and ends a second after that is dropped, at most.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

from rerank_producer._io.cancel import Revoker
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.listener import WAKE, Listener
from rerank_producer._io.pending import Pending, Waiter
from rerank_producer._io.port import TIMEOUT_S, drive
from rerank_shared.cache import Lookup, LookupCounter
from rerank_shared.contract.messages import Score
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import ENQUEUE
from rerank_shared.redis.connections import connect, most_connections, outages_told
from rerank_shared.settings import Settings

#: Connections in use at once; further threads wait. redis-py would raise when its pool of 100 is used up.
_CONNECTIONS = 64


class _BlockingLine:
    """A subscription of redis-py as a Line that never suspends."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def subscribe(self, *channels: str) -> None:
        self._pubsub.subscribe(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        self._pubsub.unsubscribe(*channels)

    async def ping(self) -> None:
        self._pubsub.ping()

    async def hear(self, wait_s: float) -> dict[str, Any] | None:
        message: dict[str, Any] | None = self._pubsub.get_message(timeout=wait_s)
        return message

    async def aclose(self) -> None:
        self._pubsub.close()


class BlockingPort:
    """One process's Port for the sync client; threads share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.namespace)
        self.reply_to = self._keys.reply(uuid.uuid4().hex)
        self._redis = connect(settings, timeout_s=TIMEOUT_S)
        self._turns = threading.Semaphore(most_connections(settings, _CONNECTIONS))
        self._counter = LookupCounter(self._keys)
        self._revoker = Revoker(settings)
        self._pending = Pending()
        self._settled = threading.Event()
        line_redis: Any = connect(settings, timeout_s=TIMEOUT_S)
        # The listener connects again by itself: it has to inform the waiters.
        line_redis.set_retry(Retry(NoBackoff(), 0))
        self._line_redis, self._stopped = line_redis, threading.Event()
        self._listener = Listener(
            reply_channel=self.reply_to,
            pending=self._pending,
            open_line=lambda: _BlockingLine(line_redis.pubsub()),
            pause=partial(_pause, self._stopped),
            settled=self._settled,
            clock=time.monotonic,
        )
        # Nothing but a flag: it may be set wherever Python happens to collect garbage, whatever locks are held there.
        weakref.finalize(self, setattr, self._listener, "closing", True).atexit = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    async def lookup(
        self, digests: Sequence[bytes], fill: Callable[[Any], None]
    ) -> tuple[list[Score | None], list[Any]]:
        with self._turns, outages_told(self._settings, "looking scores up"):
            pipe, lookup = self._redis.pipeline(transaction=False), Lookup(self._counter, digests)
            needed = lookup.add_to(pipe, fill)
            return lookup.read(pipe.execute(raise_on_error=False), needed)

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        with self._turns, outages_told(self._settings, "handling a request"):
            pipe = self._redis.pipeline(transaction=False)
            fill(pipe)
            return pipe.execute()

    async def enqueue(self, enqueue: Enqueue) -> None:
        with self._turns, outages_told(self._settings, f"enqueuing job {enqueue.jobs[0].job_id}"):
            keys, args = enqueue.call(self._keys)
            ENQUEUE(self._redis, keys, *args)

    async def listen(self, job_ids: Sequence[str], channels: Mapping[str, str] | None = None) -> list[Waiter]:
        signal = threading.Event()
        waiters = [Waiter(job_id, signal, (channels or {}).get(job_id)) for job_id in job_ids]
        for waiter in waiters:
            self._pending.add(waiter)
        try:
            self._start()
            self._settled.wait(TIMEOUT_S)
            if channels:
                await self._subscribed([waiter for waiter in waiters if waiter.channel is not None])
        except BaseException:
            self.forget(waiters)
            raise
        return waiters

    async def wait(self, waiter: Waiter, wait_s: float) -> None:
        signal = waiter.signal
        assert isinstance(signal, threading.Event)
        signal.wait(wait_s)
        signal.clear()

    async def pause(self, pause_s: float) -> None:
        await _pause(self._stopped, pause_s)

    def forget(self, waiters: Sequence[Waiter]) -> None:
        for waiter in waiters:
            self._pending.remove(waiter)

    async def revoke(self, job_id: str) -> None:
        self._revoker.revoke(job_id)

    def withdraw_soon(self, job_ids: Sequence[str], fill: Callable[[Any], None]) -> None:
        """Do nothing, and never be called: a thread is not cancelled."""

    def close(self) -> None:
        """End the listener and close all connections; calls that still wait run into their deadlines."""
        self._listener.closing = True
        self._stopped.set()
        with contextlib.suppress(QueueUnavailable):
            self._say_goodbye()
        if self._thread is not None:
            self._thread.join(2 * TIMEOUT_S)
        self._revoker.close()
        self._line_redis.close()
        self._redis.close()

    def _say_goodbye(self) -> None:
        """Write the counts and wake the listener, in one round trip."""
        with outages_told(self._settings, "closing the client"):
            pipe = self._redis.pipeline(transaction=False)
            self._counter.add_to(pipe)
            if self._thread is not None:
                pipe.publish(self.reply_to, WAKE)
            pipe.execute()

    async def _subscribed(self, waiters: Sequence[Waiter]) -> None:
        await self.pipeline(lambda pipe: pipe.publish(self.reply_to, WAKE))
        give_up = time.monotonic() + TIMEOUT_S
        while any(not each.subscribed and each.answer is None for each in waiters):
            if (left_s := give_up - time.monotonic()) <= 0:
                return
            await self.wait(waiters[0], left_s)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_listen, args=(self._listener,), name="rerank-replies", daemon=True
                )
                self._thread.start()


async def _pause(stopped: threading.Event, pause_s: float) -> None:
    stopped.wait(pause_s)


def _listen(listener: Listener) -> None:
    drive(listener.run())
