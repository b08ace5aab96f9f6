"""The gate: decides whether this process takes another job, each time Celery's consumer could take one.

A full process shuts the gate; the gate wakes the consumer's event loop when it would open again. Once a batch, a full
process still takes one job if that job is more urgent than every job waiting here, so that a long job never locks an
urgent one out (rerank_shared/scheduling/urgent_take.py).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from rerank_shared.keys import JobClass, queue_parts
from rerank_shared.queue.transport.qos import SettledTags
from rerank_shared.queue.urgency_headers import Urgency, read_urgency
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_shared.scheduling.pool_turns import PoolTurns
from rerank_shared.scheduling.urgent_take import AskPace, first_due, must_beat
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.backpressure import Backpressure

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Delivered:
    """A message that is not acknowledged yet; `untokenized` until its pairs are in the batcher."""

    message: Any
    job_id: str | None
    urgency: Urgency
    job_class: JobClass
    untokenized: bool = True


class Gate:
    """Tracks the jobs this process holds, and wakes the consumer when there is room. Thread-safe."""

    def __init__(
        self,
        backpressure: Backpressure,
        scoring: ScoringThread,
        wall_clock: Callable[[], float] = time.time,
        turns: PoolTurns | None = None,
    ) -> None:
        self._backpressure = backpressure
        self.turns = turns or PoolTurns()
        self._scoring = scoring
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._delivered: dict[str, _Delivered] = {}
        self._shut = False
        self._ending = False
        self._ask_pace = AskPace()
        self._wake: Callable[[], object] | None = None
        self.settled = SettledTags()
        scoring.on_less, scoring.on_ending = self.look, self.ending

    def is_open(self) -> bool:
        """Return whether the process takes another job. After False, the gate wakes the consumer once there is room."""
        # Set before the check: otherwise another thread could make room in between and not wake the consumer.
        self._shut = True
        if self._scoring.draining or not self._has_room():
            return False
        self._shut = False
        return True

    def _has_room(self) -> bool:
        untokenized = sum(job.urgency.tokens for job in self._unacknowledged() if job.untokenized)
        return self._backpressure.open(self._scoring.waiting, untokenized)

    def took(self, message: Any) -> None:
        """Record a delivered message, before any thread works on it."""
        queue = queue_parts(str((message.delivery_info or {}).get("routing_key")))
        if queue is None:
            # A task from another queue is not scored, so the gate does not count it.
            return
        job_class, _ = queue
        urgency = read_urgency(message.headers or {}, self._wall_clock())
        job_id = (message.headers or {}).get("id")
        delivered = _Delivered(message, job_id, urgency, job_class)
        with self._lock:
            self._delivered[message.delivery_tag] = delivered

    def tags(self) -> list[str]:
        """Return the delivery tags of every message the process holds."""
        return [job.message.delivery_tag for job in self._unacknowledged()]

    @contextmanager
    def inside(self, tag: str | None) -> Iterator[Callable[[], None]]:
        """Hold a delivered message for the block. Yields a function to call once its pairs are in the batcher."""

        def waits() -> None:
            with self._lock:
                if (delivered := self._delivered.get(tag or "")) is not None:
                    delivered.untokenized = False
            self.look()

        try:
            yield waits
        finally:
            self.forget(tag or "")

    def forget(self, tag: str) -> None:
        """Stop tracking a message that was acknowledged, rejected or answered."""
        with self._lock:
            self._delivered.pop(tag, None)
        self.look()

    def look(self) -> None:
        """Wake the consumer if the gate was shut and would open now. Any thread may call it; it never blocks."""
        wake = self._wake
        # Checking here is cheaper than a round of the event loop that finds the gate shut.
        if self._shut and wake is not None and self._has_room():
            wake()

    def ending(self) -> None:
        """Record that a batch is about to end, and wake the consumer to ask the queue for a more urgent job.

        Any thread may call it; it never blocks.
        """
        self._ending, wake = True, self._wake
        if self._shut and wake is not None and self._ask_pace.is_due(self._scoring.clock()):
            wake()

    def attach(self, wake: Callable[[], object] | None) -> None:
        """Set the function that wakes the consumer; None while the consumer is not connected."""
        self._wake = wake

    def ask(self) -> dict[JobClass, float] | None:
        """Return by class the earliest due time (epoch seconds) of the jobs waiting here.

        Return None when it is not time to ask the queue for a more urgent job.
        """
        now = self._scoring.clock()
        if self._scoring.draining or not self._ending or not self._ask_pace.is_due(now):
            return None
        self._ending = False
        self._ask_pace.asked(now)
        delivered = [(job, job.untokenized) for job in self._unacknowledged()]
        # Read after the line above: a job that was tokenized in between is in the batcher now.
        # A job whose pairs all run is about to end.
        waiting = self._scoring.waiting_jobs()
        return first_due(
            (job.job_class, job.urgency.due_at)
            for job, untokenized in delivered
            if untokenized or job.job_id in waiting
        )

    def _unacknowledged(self) -> list[_Delivered]:
        with self._lock:
            # A message that was refused or revoked is acknowledged, and no thread ever works on it.
            self._delivered = {tag: job for tag, job in self._delivered.items() if not job.message.acknowledged}
            return list(self._delivered.values())


class GateStep(bootsteps.StartStopStep):
    """Installs gate, turns of pools and dead-letter callback on the consumer's channel, at each connection."""

    requires = (Tasks,)

    def start(self, c: Consumer) -> None:
        """Wrap the channel's `can_consume`: the prefetch limit still bounds how many messages are held."""
        gate: Gate = c.gate
        channel = c.task_consumer.channel
        channel.settled, channel.turns = gate.settled, gate.turns
        within_prefetch = channel.qos.can_consume
        channel.on_dead_letter = c.on_dead_letter
        channel.qos.can_consume = lambda: within_prefetch() and gate.is_open()
        gate.attach(partial(c.hub.call_soon, partial(_fetch, gate, channel, within_prefetch)))

    def stop(self, c: Consumer) -> None:
        """Detach the gate from the consumer."""
        c.gate.attach(None)

    terminate = shutdown = stop


def _fetch(gate: Gate, channel: Any, within_prefetch: Callable[[], bool]) -> None:
    """Take one urgent job while the process is full. When it is not full, the event loop takes jobs by itself."""
    if channel.closed or gate.is_open() or not within_prefetch() or (first := gate.ask()) is None:
        return
    try:
        before = must_beat(first, interactive_queued=lambda: channel.interactive_queued)
        if before is not None:
            channel.take(before=before if math.isfinite(before) else None)
    except OUTAGES_AND_REFUSALS as error:
        # The event loop notices the lost connection next and connects again.
        log.warning("gate could not fetch a more urgent job: redis %s", outage_of(error).says)
