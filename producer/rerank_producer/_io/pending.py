"""Pending waiters: brings each arriving answer to the callers that wait for its job.

An answer resolves every waiter of its job, once. A second answer is ignored, and so is one without a waiter. Bytes that
are no record are logged and change nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Protocol

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Outcome
from rerank_shared.errors import MalformedMessage, RerankError

log = logging.getLogger(__name__)
Answer = Outcome | RerankError


class Signal(Protocol):
    """The methods that threading.Event and asyncio.Event share."""

    def set(self) -> None:
        """Wake the caller that waits."""

    def clear(self) -> None:
        """Reset it, so that the next wait blocks."""

    def is_set(self) -> bool:
        """Return whether it is set."""


class Waiter:
    """One caller that waits for one job. `signal` is set whenever one of the other fields changes.

    `channel` is a further channel of the answer, besides the client's reply channel, for a job that another client
    sent.
    """

    __slots__ = ("answer", "channel", "job_id", "reconnected", "signal", "subscribed")

    def __init__(self, job_id: str, signal: Signal, channel: str | None = None) -> None:
        self.job_id = job_id
        self.signal = signal
        self.channel = channel
        self.answer: Answer | None = None
        self.reconnected = False
        self.subscribed = False

    def resolve(self, answer: Answer) -> None:
        """Set the answer, unless there is one."""
        if self.answer is None:
            self.answer = answer
            self.signal.set()


class Pending:
    """All waiters of one client. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[str, list[Waiter]] = {}
        self._channels: Counter[str] = Counter()
        #: Grows whenever `channels()` may have changed.
        self.revision = 0

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._waiters.values()))

    def add(self, waiter: Waiter) -> None:
        """Resolve `waiter` from now on."""
        with self._lock:
            self._waiters.setdefault(waiter.job_id, []).append(waiter)
            if waiter.channel is not None:
                self._channels[waiter.channel] += 1
                self.revision += 1

    def remove(self, waiter: Waiter) -> None:
        """Forget `waiter`; harmless if it was never added."""
        with self._lock:
            waiters = self._waiters.get(waiter.job_id, [])
            if waiter not in waiters:
                return
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[waiter.job_id]
            if waiter.channel is not None:
                self._channels[waiter.channel] -= 1
                self._channels += Counter()
                self.revision += 1

    def channels(self) -> set[str]:
        """Return the channels of single jobs that callers wait on."""
        with self._lock:
            return set(self._channels)

    def deliver(self, data: bytes) -> None:
        """Resolve the waiters of a record's job."""
        try:
            job_id, answer = wire.decode_record(data)
        except MalformedMessage as error:
            log.warning("reply ignored error=%s", error)
            return
        for waiter in self._of(job_id):
            waiter.resolve(answer)

    def subscribed(self, channel: str) -> None:
        """Inform the waiters on `channel` that they miss no announcement there from now on."""
        for waiter in self._all():
            if waiter.channel == channel:
                waiter.subscribed = True
                waiter.signal.set()

    def reconnected(self) -> None:
        """Inform all waiters that they may have missed answers."""
        for waiter in self._all():
            waiter.reconnected = True
            waiter.signal.set()

    def _of(self, job_id: str) -> list[Waiter]:
        with self._lock:
            return list(self._waiters.get(job_id, ()))

    def _all(self) -> list[Waiter]:
        with self._lock:
            return [waiter for waiters in self._waiters.values() for waiter in waiters]
