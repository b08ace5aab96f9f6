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

from rerank_producer._dispatch.fleet_load import FleetBook, Prospects
from rerank_producer._dispatch.hedging import Patience
from rerank_producer._dispatch.shards import Parcel, make_parcels
from rerank_producer._dispatch.single_flight import claims_of
from rerank_producer._dispatch.wait import Awaited, LedgerEntry, Wait
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.enqueue import Enqueue, Kept
from rerank_producer._io.pending import Waiter
from rerank_producer._io.port import Port
from rerank_producer._request.plan import Prepared
from rerank_shared.contract.messages import Outcome
from rerank_shared.errors import DeadlineTooShort, RerankError
from rerank_shared.keys import Keys
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
        seen: Prospects | None = None,
    ) -> Asked:
        """Send the misses and wait for their outcomes, and for the jobs `beside` until the epoch second of each.

        `seen` is how the fleet was just now, if it was asked.

        Raises Overloaded or DeadlineExceeded before anything is sent, QueueUnavailable, and what a worker answered.
        """
        others = beside or {}
        parcels = []
        if prepared.plan.misses:
            parcels = await self.parcels(port, prepared, deadline, partial=partial, shards=shards, seen=seen)
        started = self.clock.monotonic()
        ids = [parcel.job.job_id for parcel in parcels]
        waiters: Sequence[Waiter] = ()
        try:
            waiters = await port.listen([*ids, *others], {job_id: self.keys.result(job_id) for job_id in others})
            if parcels:
                await self._send(port, parcels, self._claims(parcels, prepared))
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
        self,
        port: Port,
        prepared: Prepared,
        deadline: Deadline,
        *,
        partial: bool,
        shards: int | None,
        seen: Prospects | None = None,
    ) -> list[Parcel]:
        """Return what is to be sent for the misses. Raises Overloaded, DeadlineTooShort, QueueUnavailable."""
        if (late_s := self.clock.monotonic() - deadline.at) >= 0:
            raise DeadlineTooShort(
                f"the deadline passed {late_s * 1000:.0f} ms before anything could be enqueued: allow a longer deadline"
            )
        if seen is None:
            prospects = await self.book.get(port, prepared.plan.model)
        else:
            prospects = await self.book.whole(port, seen)
        now = self.clock.epoch()
        return make_parcels(prepared, self.settings, now, prospects, partial=partial, shards=shards)

    async def _send(
        self, port: Port, parcels: Sequence[Parcel], claims: Sequence[Kept] = (), forgotten: Sequence[str] = ()
    ) -> None:
        kept = [each for parcel in parcels for each in parcel.kept(self.keys)]
        await port.enqueue(Enqueue([parcel.job for parcel in parcels], port.reply_to, [*kept, *claims], forgotten))

    def _claims(self, parcels: Sequence[Parcel], prepared: Prepared) -> list[Kept]:
        claims: list[Kept] = []
        for parcel in parcels:
            if self.settings.single_flight and prepared.digests and parcel.late_after_s is not None:
                digests = [prepared.digests[prepared.plan.misses[place]] for place in parcel.part]
                claims += claims_of(self.keys, parcel.job, digests, parcel.late_after_s)
        return claims

    def _withdraw(self, parcels: Sequence[Parcel], pipe: Any) -> None:
        for parcel in parcels:
            parcel.remove_from(pipe, self.keys)

    def _ours(self, port: Port, parcel: Parcel, waiter: Waiter, deadline: Deadline) -> Awaited:
        async def send_again(text_lost: bool) -> None:
            nonlocal parcel
            parcel = parcel.again()
            if text_lost:
                parcel = parcel.inline()
            # The record that its text was lost would be taken for the answer.
            await self._send(port, [parcel], forgotten=[self.keys.result(waiter.job_id)] if text_lost else [])

        sent_at = self.clock.monotonic()
        late_at = math.inf if parcel.late_after_s is None else sent_at + parcel.late_after_s
        entry = LedgerEntry.of(self.keys, parcel.job)
        return Awaited(waiter, Patience(sent_at, deadline.at, late_at), entry, send_again)

    def _theirs(self, waiter: Waiter, until: float, deadline: Deadline) -> Awaited:
        now = self.clock.monotonic()
        patience = Patience(now, min(deadline.at, now + until - self.clock.epoch()))
        # It may have been announced before anybody listened.
        patience.line_restored(now)
        return Awaited(waiter, patience, ours=False)
