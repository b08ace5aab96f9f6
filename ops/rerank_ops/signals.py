"""Signals for an orderly stop: SIGTERM and Ctrl-C as an event to wait for, or as the end of a coroutine."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from rerank_producer._io.cancelling import cancellable

T = TypeVar("T")


def run_stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns. SIGTERM and Ctrl-C cancel it; it ends in its own order, however long that takes.

    Raises what it raises; KeyboardInterrupt or SystemExit with status 143 where a signal ended it. Main thread only.
    """
    before = signal.getsignal(signal.SIGTERM)
    told = threading.Event()
    try:
        return asyncio.run(_until_told(work, told))
    except asyncio.CancelledError:
        if told.is_set():
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


async def _until_told(work: Coroutine[Any, Any, T], told: threading.Event) -> T:
    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        told.set()
        task.cancel()

    # Of the event loop: an exception of a plain handler is lost where it comes within a `__del__`, as redis-py's.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    return await cancellable(work)


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; a second one reaches the handler from before the block."""
    asked = threading.Event()
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}

    def handle(signum: int, frame: FrameType | None) -> None:
        asked.set()
        for number, previous in before.items():
            signal.signal(number, previous)

    for signum in before:
        signal.signal(signum, handle)
    try:
        yield asked
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)
