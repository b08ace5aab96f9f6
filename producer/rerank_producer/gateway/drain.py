"""Draining: readiness ends with the signal to stop, so that a balancer has time before the port closes."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def drain_on_signals(begin: Callable[[], None], delay_s: float) -> Iterator[None]:
    """Call `begin` when SIGTERM or SIGINT comes inside the block; the server's own handler has it after that.

    SIGTERM reaches it `delay_s` later: the port is open until then. A second one, and SIGINT, reach it at once. Does
    nothing outside the main thread, where signals never come. To be entered where an event loop runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in handlers.items():
        signal.signal(number, _first(begin, handler, delay_s if number == signal.SIGTERM else 0.0))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _first(begin: Callable[[], None], handler: Any, delay_s: float) -> Callable[[int, FrameType | None], None]:
    loop = asyncio.get_running_loop()
    calls = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal calls
        calls += 1
        begin()
        if not callable(handler):
            return
        if delay_s and calls == 1:
            loop.call_soon_threadsafe(loop.call_later, delay_s, handler, number, None)
        else:
            handler(number, frame)

    return handle
