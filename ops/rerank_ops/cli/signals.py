"""Signals for an orderly stop: SIGTERM and Ctrl-C as an event to wait for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
