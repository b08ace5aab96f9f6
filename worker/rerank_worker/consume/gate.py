"""Where jobs come in: the intake's decision, asked by Celery's consumer each time before it takes one.

The consumer's event loop is woken when less waits than before and it would find room. While the process is full it
still asks, once a batch, for one job that is more urgent than all it has waiting, so that a long job in hand locks no
urgent one out. Urgency is compared as the queue counts it: here a job's age begins anew, and all that waits in the
queue would seem more urgent. It asks before the last run of the batch: sooner, it would take what another process might
be free for before.
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

from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.urgency_headers import Urgency, read_urgency
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_worker.batching.scorer import Scorer
from rerank_worker.consume.backpressure import Intake

log = logging.getLogger(__name__)
#: A full process asks for something more urgent no more often than this, however short its batches are.
_ASK_EVERY_S = 0.06


@dataclass(slots=True)
class _Held:
    """A message that is not acknowledged yet; `coming` until its pairs wait."""

    message: Any
    job_id: str | None
    urgency: Urgency
    job_class: JobClass
    coming: bool = True


class Door:
    """Knows what the process holds, and wakes the consumer. Thread-safe."""

    def __init__(self, intake: Intake, scorer: Scorer, keys: Keys, wall_clock: Callable[[], float] = time.time) -> None:
        self._intake = intake
        self._scorer = scorer
        self._classes: dict[str, JobClass] = {keys.queue(job_class): job_class for job_class in JOB_CLASSES}
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._shut = False
        self._ending = False
        self._ask_at = 0.0
        self._wake: Callable[[], object] | None = None
        #: Tags of messages that were acknowledged with their jobs' outcomes, until Celery acknowledges them too.
        self.settled: set[str] = set()
        scorer.on_less, scorer.on_ending = self.look, self.ending

    def is_open(self) -> bool:
        """Whether the process takes another job; once it said no, it wakes the consumer when that may have changed."""
        # Noted before the question, or the answer to it might change unnoticed.
        self._shut = True
        if self._scorer.draining or not self._has_room():
            return False
        self._shut = False
        return True

    def _has_room(self) -> bool:
        untokenized = sum(job.urgency.tokens for job in self._still_held() if job.coming)
        return self._intake.open(self._scorer.waiting, untokenized)

    def took(self, message: Any) -> None:
        """Note a message that was delivered, before any thread works on it."""
        queue = (message.delivery_info or {}).get("routing_key")
        if (job_class := self._classes.get(str(queue))) is None:
            # A task of another queue is no work for the engine.
            return
        urgency = read_urgency(message.headers or {}, self._wall_clock())
        job_id = (message.headers or {}).get("id")
        held = _Held(message, job_id, urgency, job_class)
        with self._lock:
            self._held[message.delivery_tag] = held

    def tags(self) -> list[str]:
        """Return the delivery tags of all that the process holds."""
        return [job.message.delivery_tag for job in self._still_held()]

    @contextmanager
    def inside(self, tag: str | None) -> Iterator[Callable[[], None]]:
        """Work on a delivered message inside the block; what it gives is to be called once the message's pairs wait."""

        def waits() -> None:
            with self._lock:
                if (held := self._held.get(tag or "")) is not None:
                    held.coming = False
            self.look()

        try:
            yield waits
        finally:
            self.forget(tag or "")

    def forget(self, tag: str) -> None:
        """Note that a message has been dealt with."""
        with self._lock:
            self._held.pop(tag, None)
        self.look()

    def look(self) -> None:
        """Wake the consumer if it was told that the process is full, and it no longer is; from any thread, and never
        blocking."""
        wake = self._wake
        # A round of the event loop costs more than the question whether it would find the door open.
        if self._shut and wake is not None and self._has_room():
            wake()

    def ending(self) -> None:
        """Take note that a batch is about to end, so that it is time to ask; from any thread, and never blocking."""
        self._ending, wake = True, self._wake
        if self._shut and wake is not None and self._scorer.clock() >= self._ask_at:
            wake()

    def attach(self, wake: Callable[[], object] | None) -> None:
        """Say what wakes the consumer, None while it is not connected."""
        self._wake = wake

    def ask(self) -> dict[JobClass, float] | None:
        """Return before when (epoch seconds) a job must be due, by class, to be more urgent than all that waits here.

        Any interactive one is where only bulk waits. None: don't ask now.
        """
        now = self._scorer.clock()
        if self._scorer.draining or not self._ending or now < self._ask_at:
            return None
        self._ending, self._ask_at = False, now + _ASK_EVERY_S
        first: dict[JobClass, float] = {}
        held = [(job, job.coming) for job in self._still_held()]
        # Asked after that: what is coming no longer has entered. What runs with all its pairs is about to end.
        waiting = self._scorer.waiting_jobs()
        for job, coming in held:
            if coming or job.job_id in waiting:
                first[job.job_class] = min(job.urgency.due_at, first.get(job.job_class, math.inf))
        return first if "interactive" in first else {"interactive": math.inf, **first}

    def _still_held(self) -> list[_Held]:
        with self._lock:
            # A message that was refused or revoked is acknowledged, and no thread ever works on it.
            self._held = {tag: job for tag, job in self._held.items() if not job.message.acknowledged}
            return list(self._held.values())


class DoorStep(bootsteps.StartStopStep):
    """Puts the door before the consumer's channel, and tells it whom to tell of poison; at each connection anew."""

    requires = (Tasks,)

    def start(self, c: Consumer) -> None:
        """Stand in for the channel's own answer to whether it may consume, which goes on bounding how many."""
        door: Door = c.door
        channel = c.task_consumer.channel
        channel.settled = door.settled
        within_prefetch = channel.qos.can_consume
        channel.on_poison = c.on_poison
        channel.qos.can_consume = lambda: within_prefetch() and door.is_open()
        door.attach(partial(c.hub.call_soon, partial(_fetch, door, channel, within_prefetch)))

    def stop(self, c: Consumer) -> None:
        """Leave the consumer alone."""
        c.door.attach(None)

    terminate = shutdown = stop


def _fetch(door: Door, channel: Any, within_prefetch: Callable[[], bool]) -> None:
    """Take one urgent job if the process is full; if it is not, the event loop takes what there is by itself."""
    if channel.closed or door.is_open() or not within_prefetch() or (before := door.ask()) is None:
        return
    try:
        if before["interactive"] < math.inf:
            channel.take(before=before["interactive"])
        elif channel.plain_client.hlen(channel.keys.waiting("interactive")):
            channel.take()
        elif "bulk" in before:
            channel.take(before=before["bulk"])
    except OUTAGES_AND_REFUSALS as error:
        # What is lost the event loop is about to find out, and connects again.
        log.warning("asked in vain for something more urgent: redis %s", outage_of(error).says)
