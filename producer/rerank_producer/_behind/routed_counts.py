"""Counts of a client's routed requests on their way to Redis: one daemon thread adds them once a second.

A caller is never delayed, and nothing is raised. An outage loses counts and never doubles them.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from rerank_producer._behind.daemon_thread import IDLE_S, DaemonThread
from rerank_producer._dispatch.routes.ended import RoutedRequest
from rerank_producer._io.per_process import PerProcess
from rerank_producer._io.port import TIMEOUT_S
from rerank_producer.routed.figures import RoutedCounts
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: Counts of so many seconds are one write.
_TOGETHER_S = 1.0
#: How long a client that closes, or a process that ends, waits for the last write.
_CLOSING_S = 1.0


class CountsBehind:
    """The counts of one client in one process. Threads and event loops share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counts = RoutedCounts(Keys(settings.namespace))
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = DaemonThread("rerank-routed", self._run, self.close)

    def observe(self, ended: RoutedRequest) -> None:
        """Count a request that has ended. Returns at once."""
        with self._changed:
            if self._closing.is_set():
                return
            if (error := self._thread.start()) is not None:
                log.debug("routed requests not counted error=%s", error)
                return
            self._counts.observe(ended)
            self._changed.notify()

    def close(self) -> None:
        """Write what was counted, within a second or two; the rest is lost."""
        if self._thread.lost:
            return
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._thread.join(_CLOSING_S + TIMEOUT_S)

    def _run(self) -> None:
        with connect(self._settings, timeout_s=TIMEOUT_S) as redis:
            while self._wait():
                try:
                    with outages_told(self._settings, "counting routed requests"):
                        self._taken(redis).execute()
                except QueueUnavailable as error:
                    log.debug("counts of routed requests lost error=%s", error)

    def _wait(self) -> bool:
        """Wait for counts, and then for more of them; return whether there are some. Without any, the thread ends."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._counts.pending or self._closing.is_set(), IDLE_S):
                self._thread.end()
                return False
        self._closing.wait(_TOGETHER_S)
        return self._counts.pending

    def _taken(self, redis: Any) -> Any:
        """Return a pipeline with the counts, which are forgotten here."""
        pipe = redis.pipeline(transaction=False)
        with self._changed:
            self._counts.move_to(pipe)
        return pipe


def counting(settings: Settings) -> PerProcess[CountsBehind]:
    """Return the counts of a client: each process that it lives in has its own."""
    return PerProcess(lambda: CountsBehind(settings))
