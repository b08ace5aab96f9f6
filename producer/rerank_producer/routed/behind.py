"""Counts of a client's routed requests on their way to Redis: one daemon thread adds them once a second.

A caller is never delayed, and nothing is raised. An outage loses counts and never doubles them.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import Any

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
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def observe(self, ended: RoutedRequest) -> None:
        """Count a request that has ended. Returns at once."""
        with self._changed:
            if self._closing.is_set() or (self._thread is None and not self._start()):
                return
            self._counts.observe(ended)
            self._changed.notify()

    def close(self) -> None:
        """Write what was counted, within a second or two; the rest is lost."""
        if os.getpid() != self._pid:
            # A child that was forked without the thread ends.
            return
        with self._changed:
            self._closing.set()
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_CLOSING_S + TIMEOUT_S)
            atexit.unregister(self.close)

    def _start(self) -> bool:
        """Start the thread; return whether that was possible: not where a process has too many, or is ending."""
        thread = threading.Thread(target=self._run, name="rerank-routed", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.debug("routed requests not counted error=%s", error)
            return False
        self._thread = thread
        atexit.register(self.close)
        return True

    def _run(self) -> None:
        with connect(self._settings, timeout_s=TIMEOUT_S) as redis:
            while self._wait():
                try:
                    with outages_told(self._settings, "counting routed requests"):
                        self._taken(redis).execute()
                except QueueUnavailable as error:
                    log.debug("counts of routed requests lost error=%s", error)

    def _wait(self) -> bool:
        """Wait for counts, and then for more of them; return whether there are some to write."""
        with self._changed:
            self._changed.wait_for(lambda: self._counts.pending or self._closing.is_set())
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
