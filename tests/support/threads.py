"""Threads that a test started: others of its process may live on, or end meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

#: Returns the names of the threads that run now and did not when the test began.
NewThreads = Callable[[], list[str]]


def threads_from_now_on() -> NewThreads:
    """Return what tells the threads that start after this call."""
    before = set(threading.enumerate())
    return lambda: [thread.name for thread in threading.enumerate() if thread not in before]
