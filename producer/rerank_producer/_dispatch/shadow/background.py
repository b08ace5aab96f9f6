"""Shadows behind the callers of one client: one daemon thread with an event loop and a connection of its own.

A caller is never delayed: a request is handed to the thread and forgotten. What the thread can't do is counted, and
told once. A process that ends, or a client that closes or is dropped, drops what is under way.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial

from rerank_producer import metrics
from rerank_producer._behind.daemon_thread import DaemonThread
from rerank_producer._dispatch.lookup import RequestLookup
from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._dispatch.shadow.asking import ShadowRequests
from rerank_producer._dispatch.shadow.dropping import Dropped, drop_of
from rerank_producer._dispatch.shadow.tally import Tally
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_producer._io.aio import AsyncPort, set_within
from rerank_producer._io.cancel_threads import Background
from rerank_producer._io.cancelling import end_tasks
from rerank_producer._io.clock import Clock
from rerank_producer._io.per_process import PerProcess
from rerank_shared.drift.figures import Drop
from rerank_shared.errors import QueueUnavailable, RerankError

log = logging.getLogger(__name__)
#: Requests that are with shadows at once; of more the newest are dropped.
MOST_OPEN = 64
#: How long a client that closes, or a process that ends, waits for the last figures to be written.
CLOSING_S = 1.0
_FLUSH_EVERY_S = 1.0
#: The other drops are what is meant to happen where a fleet has other work, or none at all.
_UNEXPECTED: frozenset[Drop] = frozenset({"unfit", "failed"})


class Shadows:
    """The shadows of one client in one process. Its threads and event loops share them.

    `owner` returns what hands requests on, None once that was dropped.
    """

    def __init__(self, lookup: RequestLookup, clock: Clock, owner: Callable[[], object | None]) -> None:
        self._lookup = lookup
        self._owner = owner
        self._clock = clock
        self._requests = ShadowRequests(lookup, clock)
        self._tally = Tally(lookup.keys, with_texts=lookup.settings.shadow_texts)
        self._lock = threading.Lock()
        self._thread = DaemonThread("rerank-shadows", self._run, self.close)
        self._open = 0
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port: AsyncPort | None = None
        self._told: set[Drop] = set()

    def hand_on(self, sampled: Sampled) -> None:
        """Let a shadow score a request, or drop it. Returns at once and raises nothing."""
        with self._lock:
            loop = None if self._closing else self._loop or self._start()
            if loop is None:
                metrics.SHADOW_REQUESTS.labels(sampled.route.name, sampled.shadow, "closed").inc()
                return
            begins = self._open < MOST_OPEN
            self._open += begins
            # An empty context: what a shadow does is no part of the caller's trace.
            loop.call_soon_threadsafe(
                self._begin if begins else self._turn_away, sampled, context=contextvars.Context()
            )

    def close(self) -> None:
        """Drop what is under way and write the last figures, within a second; the rest is lost."""
        if self._thread.lost:
            return
        with self._lock:
            if self._loop is not None and not self._closing:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._closing = True
        self._thread.join(CLOSING_S)

    def _start(self) -> asyncio.AbstractEventLoop | None:
        """Start the thread; None where that is not possible: a process has no room for a thread or its files, or is
        ending. Then this client has no shadows.
        """
        error: Exception | None
        try:
            loop = self._loop = asyncio.new_event_loop()
        except OSError as refused:
            error = refused
        else:
            if (error := self._thread.start()) is None:
                return loop
            loop.close()
        self._loop, self._closing = None, True
        log.warning("shadows left out until this client is closed error=%s", error)
        return None

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        try:
            # It ends the tasks that redis-py leaves behind, too, before it closes the loop.
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._live())
        finally:
            with self._lock:
                self._closing = True

    async def _live(self) -> None:
        try:
            while self._owner() is not None and not await set_within(self._stop, _FLUSH_EVERY_S):
                await self._flush()
        finally:
            with self._lock:
                self._closing = True
                if self._owner() is None:
                    self._thread.end()
            await end_tasks(list(self._tasks))
            await self._flush()
            if self._port is not None:
                await self._port.aclose()

    def _turn_away(self, sampled: Sampled) -> None:
        self._tally.dropped(sampled, "full")

    def _begin(self, sampled: Sampled) -> None:
        task = asyncio.get_running_loop().create_task(self._score(sampled))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, sampled))

    def _ended(self, sampled: Sampled, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with self._lock:
            self._open -= 1
        if task.cancelled():
            self._tally.dropped(sampled, "closed")

    async def _score(self, sampled: Sampled) -> None:
        try:
            answer = await self._requests.ask(self._connected(), sampled)
            self._tally.compared(sampled, answer, self._clock.epoch())
        except Exception as error:
            # Of any kind: nobody waits for this task, so nobody else would count its failure.
            self._drop(sampled, error)

    def _drop(self, sampled: Sampled, error: Exception) -> None:
        reason = drop_of(error)
        self._tally.dropped(sampled, reason)
        if reason in self._told:
            return
        self._told.add(reason)
        level = logging.WARNING if reason in _UNEXPECTED else logging.INFO
        known = isinstance(error, Dropped | RerankError)
        place = f"route={sampled.route.name} shadow={sampled.shadow} reason={reason}"
        log.log(level, "shadow left out, told once %s error=%s", place, error, exc_info=None if known else error)

    def _connected(self) -> AsyncPort:
        if self._port is None or self._port.closed:
            self._port = AsyncPort(self._lookup.settings, Background(self._lookup.settings))
        return self._port

    async def _flush(self) -> None:
        if not self._tally.pending:
            return
        try:
            await self._connected().pipeline(self._tally.move_to)
        except (QueueUnavailable, RuntimeError) as error:
            # RuntimeError: Python starts no thread for a look-up of names while it ends.
            log.debug("figures of shadows lost error=%s", error)


def shadows_behind(pipeline: RequestPipeline) -> PerProcess[Shadows]:
    """Return the shadows of a client's requests; each process makes its own when it hands the first one on."""
    return PerProcess(partial(Shadows, pipeline.lookup, pipeline.clock, weakref.ref(pipeline)))
