"""Shadows behind the callers of one client: one daemon thread with an event loop and a connection of its own.

A caller is never delayed: a request is handed to the thread and forgotten. What the thread can't do is counted, and
told once. A process that ends, or a client that closes, drops what is under way.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import os
import threading

from rerank_producer import metrics
from rerank_producer._dispatch.lookup import RequestLookup
from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._dispatch.shadow.asking import ShadowRequests
from rerank_producer._dispatch.shadow.dropping import drop_of
from rerank_producer._dispatch.shadow.tally import Tally
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_producer._io.aio import AsyncPort, set_within
from rerank_producer._io.cancel_threads import Background
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


class Shadows:
    """The shadows of one client in one process. Its threads and event loops share them."""

    def __init__(self, lookup: RequestLookup, clock: Clock) -> None:
        self._lookup = lookup
        self._clock = clock
        self._requests = ShadowRequests(lookup, clock)
        self._tally = Tally(lookup.keys, with_texts=lookup.settings.shadow_texts)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open = 0
        self._closing = False
        self._thread: threading.Thread | None = None
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
        if os.getpid() != self._pid:
            # A child that was forked without the thread ends.
            return
        with self._lock:
            thread, self._thread = self._thread, None
            if self._loop is not None and not self._closing:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._closing = True
        if thread is not None:
            thread.join(CLOSING_S)
            atexit.unregister(self.close)

    def _start(self) -> asyncio.AbstractEventLoop | None:
        """Start the thread; None where that is not possible: a process has too many, or is ending."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop,), name="rerank-shadows", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            loop.close()
            self._closing = True
            log.warning("shadows left out error=%s", error)
            return None
        self._thread, self._loop = thread, loop
        atexit.register(self.close)
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_until_complete(self._live())
        finally:
            with self._lock:
                self._closing = True
            loop.close()

    async def _live(self) -> None:
        try:
            while not await set_within(self._stop, _FLUSH_EVERY_S):
                await self._flush()
        finally:
            with self._lock:
                self._closing = True
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._flush()
            if self._port is not None:
                await self._port.aclose()

    def _turn_away(self, sampled: Sampled) -> None:
        self._tally.dropped(sampled, "full")

    def _begin(self, sampled: Sampled) -> None:
        task = asyncio.get_running_loop().create_task(self._score(sampled))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _score(self, sampled: Sampled) -> None:
        try:
            answer = await self._requests.ask(self._connected(), sampled)
            self._tally.compared(sampled, answer, self._clock.epoch())
        except asyncio.CancelledError:
            self._tally.dropped(sampled, "closed")
            raise
        except Exception as error:
            # Of any kind: nobody waits for this task, so nobody else would count its failure.
            self._drop(sampled, error)
        finally:
            with self._lock:
                self._open -= 1

    def _drop(self, sampled: Sampled, error: Exception) -> None:
        reason = drop_of(error)
        self._tally.dropped(sampled, reason)
        if reason not in self._told:
            self._told.add(reason)
            log.warning(
                "shadow left out reason=%s route=%s shadow=%s error=%s: further ones are only counted",
                reason, sampled.route.name, sampled.shadow, error,
                exc_info=None if isinstance(error, RerankError) else error,
            )  # fmt: skip

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
    return PerProcess(lambda: Shadows(pipeline.lookup, pipeline.clock))
