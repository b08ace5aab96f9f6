"""Asks the fleet for scores: sends the jobs of a request, waits for all of them under one deadline, cleans up behind.

A job that seems lost or late is sent again under the same id, which is harmless, since its scores are the same. Jobs of
other requests may be waited for beside them, for the sake of pairs that both want; they are theirs to send again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_producer.clock import Clock, Deadline
from rerank_producer.flights import Claims
from rerank_producer.outlook import FleetBook
from rerank_producer.parcels import Parcel, make_parcels
from rerank_producer.patience import Patience
from rerank_producer.pending import Waiter
from rerank_producer.port import Port
from rerank_producer.preparation import Prepared
from rerank_producer.waiting import Awaited, Wait
from rerank_shared.errors import DeadlineTooShort, RerankError
from rerank_shared.keys import Keys
from rerank_shared.messages import Outcome
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of it: the outcome of each job, None where none came, and why one is missing."""

    parcels: list[Parcel]
    outcomes: list[Outcome | None]
    shortfall: RerankError | None
    enqueue_ms: float

    def then(self, more: Asked, misses: int) -> Asked:
        """Return both as one; the misses of `more` stand behind the `misses` of this one."""
        shifted = [replace(each, part=tuple(place + misses for place in each.part)) for each in more.parcels]
        return Asked(
            [*self.parcels, *shifted],
            [*self.outcomes, *more.outcomes],
            self.shortfall or more.shortfall,
            self.enqueue_ms + more.enqueue_ms,
        )


@dataclass(slots=True)
class Asking:
    """What the asks of one client have in common. Threads and event loops may share it."""

    settings: Settings
    keys: Keys
    clock: Clock
    book: FleetBook = field(init=False)

    def __post_init__(self) -> None:
        self.book = FleetBook(self.keys, self.clock)

    async def ask(
        self,
        port: Port,
        prepared: Prepared,
        deadline: Deadline,
        *,
        partial: bool,
        shards: int | None = None,
        beside: Mapping[str, float] | None = None,
    ) -> Asked:
        """Send the misses and wait for their outcomes, and for the jobs `beside` until the epoch second of each.

        Raises Overloaded or DeadlineExceeded before anything is sent, QueueUnavailable, and what a worker answered.
        """
        others = beside or {}
        parcels = []
        if prepared.plan.misses:
            parcels = await self.parcels(port, prepared, deadline, partial=partial, shards=shards)
        started = self.clock.monotonic()
        ids = [parcel.job.job_id for parcel in parcels]
        waiters: Sequence[Waiter] = ()
        try:
            # First, because it tells at once if the server is away, where the reply channel would try for a while.
            await port.pipeline(lambda pipe: self._announce(parcels, prepared, pipe))
            waiters = await port.listen([*ids, *others], {job_id: self.keys.result(job_id) for job_id in others})
            for parcel in parcels:
                await port.publish(parcel.job, port.reply_to)
            enqueue_ms = (self.clock.monotonic() - started) * 1000
            ours = [self._ours(port, *pair, deadline) for pair in zip(parcels, waiters, strict=False)]
            theirs = [self._theirs(waiter, others[waiter.job_id], deadline) for waiter in waiters[len(ids) :]]
            wait = Wait(port, self.keys, self.clock, deadline, [*ours, *theirs], lambda: self.book.free(port))
            shortfall = await wait.finish()
            return Asked(parcels, [each.outcome for each in ours], shortfall, enqueue_ms)
        except asyncio.CancelledError:
            port.withdraw_soon(ids, lambda pipe: self._withdraw(parcels, pipe))
            raise
        finally:
            port.forget(waiters)

    async def parcels(
        self, port: Port, prepared: Prepared, deadline: Deadline, *, partial: bool, shards: int | None
    ) -> list[Parcel]:
        """Return what is to be sent for the misses. Raises Overloaded, DeadlineTooShort, QueueUnavailable."""
        if (late_s := self.clock.monotonic() - deadline.at) >= 0:
            raise DeadlineTooShort(
                f"the deadline passed {late_s * 1000:.0f} ms before anything could be enqueued: allow a longer deadline"
            )
        prospects = await self.book.get(port, prepared.plan.model)
        now = self.clock.epoch()
        return make_parcels(prepared, self.settings, now, prospects, partial=partial, shards=shards)

    def _announce(self, parcels: Sequence[Parcel], prepared: Prepared, pipe: Any) -> None:
        for parcel in parcels:
            parcel.add_to(pipe, self.keys)
            if self.settings.single_flight and prepared.digests and parcel.late_after_s is not None:
                digests = [prepared.digests[prepared.plan.misses[place]] for place in parcel.part]
                Claims.add_to(pipe, self.keys, parcel.job, digests, parcel.late_after_s)

    def _withdraw(self, parcels: Sequence[Parcel], pipe: Any) -> None:
        for parcel in parcels:
            parcel.remove_from(pipe, self.keys)

    def _ours(self, port: Port, parcel: Parcel, waiter: Waiter, deadline: Deadline) -> Awaited:
        async def send_again() -> None:
            nonlocal parcel
            parcel = parcel.again()
            await port.pipeline(lambda pipe: parcel.add_to(pipe, self.keys))
            await port.publish(parcel.job, port.reply_to)

        sent_at = self.clock.monotonic()
        late_at = math.inf if parcel.late_after_s is None else sent_at + parcel.late_after_s
        return Awaited(waiter, Patience(sent_at, deadline.at, late_at), parcel.job, send_again)

    def _theirs(self, waiter: Waiter, until: float, deadline: Deadline) -> Awaited:
        now = self.clock.monotonic()
        patience = Patience(now, min(deadline.at, now + until - self.clock.epoch()))
        # It may have been announced before anybody listened.
        patience.line_restored(now)
        return Awaited(waiter, patience, ours=False)
