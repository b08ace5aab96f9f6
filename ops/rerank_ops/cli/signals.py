"""Stopping in order: SIGTERM and Ctrl-C as an event to wait for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM or SIGINT sets; a second one ends the process as it would have ended without this."""
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
