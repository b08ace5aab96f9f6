"""The outbox of feedback: a bounded queue in memory, and one daemon thread that writes it to Redis behind the callers.

A caller is never delayed: what finds the queue full is dropped at once. A record that the server does not take is tried
again, for `PATIENCE_S` at most. Everything that is not stored is counted in `rerank_feedback_total`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, Protocol

from rerank_producer import metrics
from rerank_producer._behind.daemon_thread import IDLE_S, DaemonThread
from rerank_producer._io.port import TIMEOUT_S
from rerank_shared.contract.feedback import parse_feedback, record_of
from rerank_shared.errors import InvalidRequest, QueueUnavailable
from rerank_shared.feedback import APPEND, append_call
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: Records that wait at most.
MOST_WAITING = 1_024
#: Longer than a server takes to restart.
PATIENCE_S = 30.0
#: How long a client that closes, or a process that ends, waits for the rest to be written.
CLOSING_S = 1.0
_PAUSE_S = 0.5


class Outbox(Protocol):
    """Takes records of feedback."""

    def put(self, record: bytes) -> bool:
        """Take a record, to be written soon; return whether it was taken. Returns at once and raises nothing."""

    def close(self) -> None:
        """Write what waits, within a second or two; the rest is lost, and counted."""


class FeedbackOutbox:
    """The outbox of one client in one process. Threads and event loops share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.namespace)
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._thread = DaemonThread("rerank-feedback", self._run, self.close)

    def put(self, record: bytes) -> bool:
        with self._changed:
            if self._closing.is_set() or len(self._waiting) >= MOST_WAITING:
                metrics.FEEDBACK.labels("dropped").inc()
                return False
            if (error := self._thread.start()) is not None:
                log.warning("feedback left out error=%s", error)
                metrics.FEEDBACK.labels("dropped").inc()
                return False
            self._waiting.append((record, time.monotonic() + PATIENCE_S))
            self._changed.notify()
        return True

    def close(self) -> None:
        if self._thread.lost:
            return
        with self._changed:
            self._give_up_at = time.monotonic() + CLOSING_S
            self._closing.set()
            self._changed.notify()
        self._thread.join(CLOSING_S + 2 * TIMEOUT_S)

    def _run(self) -> None:
        with connect(self._settings, timeout_s=TIMEOUT_S) as redis:
            while (waiting := self._next()) is not None:
                record, until = waiting
                metrics.FEEDBACK.labels("stored" if self._write(redis, record, until) else "lost").inc()

    def _next(self) -> tuple[bytes, float] | None:
        """Wait for a record; return None where there is none. Then the thread ends."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._closing.is_set(), IDLE_S):
                self._thread.end()
            return self._waiting.popleft() if self._waiting else None

    def _write(self, redis: Any, record: bytes, until: float) -> bool:
        """Return whether a record was stored before `until`, or before the outbox gives up."""
        while True:
            if time.monotonic() >= self._give_up_at:
                return False
            try:
                with outages_told(self._settings, "keeping feedback"):
                    keys, args = append_call(self._keys, self._settings, record)
                    APPEND(redis, keys, *args)
                return True
            except QueueUnavailable as error:
                if self._closing.is_set() or time.monotonic() >= until:
                    log.warning("feedback lost error=%s", error)
                    return False
                self._closing.wait(_PAUSE_S)


def tell(outbox: Outbox, settings: Settings, fields: dict[str, Any]) -> bool:
    """Put feedback into the outbox; return whether it was taken. What is wrong is logged and counted, never raised."""
    try:
        record = record_of(parse_feedback(**fields), settings)
    except InvalidRequest as error:
        metrics.FEEDBACK.labels("invalid").inc()
        log.warning("feedback left out error=%s", error)
        return False
    except Exception as error:
        # An argument may be an object of any kind; what it does when it is read must not reach the caller's path.
        metrics.FEEDBACK.labels("invalid").inc()
        log.warning("feedback left out error=%s", type(error).__name__)
        return False
    return outbox.put(record)
