"""Leases: tracks the deliveries that this process holds, and renews their leases while it lives.

The broker delivers a job again when its lease is older than `redelivery_s`. Renewal allows a short `redelivery_s`, so
that a killed worker's jobs come back soon, and still no long job runs twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import queue_of


class Leases:
    """The delivery tags of the jobs that this process holds. Thread-safe."""

    def __init__(self, waiting: Callable[[], Iterable[str]] = tuple) -> None:
        """`waiting` returns the tags of delivered messages that no thread works on yet; extra tags do no harm."""
        self._waiting = waiting
        self._lock = threading.Lock()
        self._tags: set[str] = set()

    @contextmanager
    def held(self, tag: str | None) -> Iterator[None]:
        """Hold a delivery's lease inside the block."""
        if tag is None:
            yield
            return
        with self._lock:
            self._tags.add(tag)
        try:
            yield
        finally:
            with self._lock:
                self._tags.discard(tag)

    def renew(self, pipe: Any, keys: Keys) -> None:
        """Queue the renewal of all held leases on a pipeline, by the server's clock."""
        with self._lock:
            tags = set(self._tags)
        if tags := tags.union(self._waiting()):
            queue_of(keys).renew(pipe, tags)
