"""A word to stop, for work that is spread over an event loop and a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from rerank_producer._io.cancelling import cancellable

T = TypeVar("T")
_LOOK_S = 0.1


class Stopped(Exception):
    """The work was told to stop, and left all as the next one finds it."""


class Stop:
    """Said once, from any thread."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self._turn = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def say(self) -> None:
        """Tell the work to stop."""
        with self._turn:
            self._said.set()
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)

    def check(self) -> None:
        """Raise Stopped if it was said."""
        if self._said.is_set():
            raise Stopped

    def wait(self, pause_s: float) -> None:
        """Pause a thread. Raises Stopped as soon as it is said."""
        if self._said.wait(pause_s):
            raise Stopped

    async def sleep(self, pause_s: float) -> None:
        """Pause a task. Raises Stopped soon after it is said."""
        ends_at = asyncio.get_running_loop().time() + pause_s
        while (left_s := ends_at - asyncio.get_running_loop().time()) > 0:
            self.check()
            await asyncio.sleep(min(left_s, _LOOK_S))
        self.check()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, in an event loop of this thread. Raises Stopped once it is said."""
        try:
            return asyncio.run(self._run(work))
        except asyncio.CancelledError:
            raise Stopped from None

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        with self._turn:
            if self._said.is_set():
                work.close()
                raise Stopped
            self._running = asyncio.get_running_loop(), task
        try:
            return await cancellable(work)
        finally:
            with self._turn:
                self._running = None
