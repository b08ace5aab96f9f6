"""Dispatches a request: makes shards of its misses, sends them, waits for all under one deadline, cleans up behind.

A job that seems lost or late is sent again under the same id. That is harmless: its scores are the same. Where single
flight is on, the dispatcher also waits for jobs of other requests that score the same pairs. Only their own callers
send those again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.failover import Failover
from rerank_producer._dispatch.fleet_load import FleetLoad, FleetLoadCache
from rerank_producer._dispatch.hedging import HedgePolicy
from rerank_producer._dispatch.served_models import ServedModels, count_processes
from rerank_producer._dispatch.shards import Shard, make_shards
from rerank_producer._dispatch.single_flight import claims_of
from rerank_producer._dispatch.wait import BacklogMember, InflightShard, SendReason, Wait
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.pending import Waiter
from rerank_producer._io.port import Port
from rerank_producer._io.sending import send
from rerank_producer._request.plan import RequestPlan
from rerank_shared.contract.messages import Outcome
from rerank_shared.errors import DeadlineTooShort, RerankError
from rerank_shared.keys import Keys
from rerank_shared.pools import pool_for, pool_id_of
from rerank_shared.queue.backlog import uncount
from rerank_shared.queue.job_queue import StoredValue
from rerank_shared.settings import Settings
from rerank_shared.tracing.spans import Carrier, current_span


@dataclass(frozen=True, slots=True)
class DispatchResult:
    """The shards that were sent, the outcome of each (None where none came), and why an outcome is missing."""

    shards: list[Shard]
    outcomes: list[Outcome | None]
    shortfall: RerankError | None
    enqueue_ms: float

    def then(self, more: DispatchResult, misses: int) -> DispatchResult:
        """Return both results as one; the misses of `more` stand behind the `misses` of this one."""
        shifted = [replace(each, offsets=tuple(offset + misses for offset in each.offsets)) for each in more.shards]
        return DispatchResult(
            [*self.shards, *shifted],
            [*self.outcomes, *more.outcomes],
            self.shortfall or more.shortfall,
            self.enqueue_ms + more.enqueue_ms,
        )


@dataclass(slots=True)
class _Place:
    """The pool that a request's jobs are sent to; another one, once all processes of the first are gone."""

    pool: str


@dataclass(slots=True)
class Dispatcher:
    """The dispatcher of one client. Threads and event loops may share it."""

    settings: Settings
    keys: Keys
    clock: Clock
    served_models: ServedModels
    fleet_load: FleetLoadCache = field(init=False)
    failover: Failover = field(init=False)

    def __post_init__(self) -> None:
        self.failover = Failover.of(self.settings, self.clock)
        self.fleet_load = FleetLoadCache(self.keys, self.clock)

    async def dispatch(
        self,
        port: Port,
        plan: RequestPlan,
        deadline: Deadline,
        *,
        partial: bool,
        count: int | None = None,
        beside: Mapping[str, float] | None = None,
        seen: FleetLoad | None = None,
    ) -> DispatchResult:
        """Send the misses of `plan` and wait for their outcomes.

        `count` sets the number of shards. `beside` names jobs of other requests to wait for, each until its epoch
        second. `seen` is the load as the look-up just read it.

        Raises Overloaded or DeadlineExceeded before anything is sent, QueueUnavailable, and what a worker answered.
        """
        others = beside or {}
        shards = []
        if plan.stored.misses:
            shards = await self.make_shards(port, plan, deadline, partial=partial, count=count, seen=seen)
        started = self.clock.monotonic()
        ids = [shard.job.job_id for shard in shards]
        waiters: Sequence[Waiter] = ()
        try:
            waiters = await port.listen([*ids, *others], {job_id: self.keys.result(job_id) for job_id in others})
            sent: Sequence[Carrier] = ()
            if shards:
                claims = self._claims(shards, plan)
                sent = await self.failover.through(port, deadline, lambda: self._send(port, shards, claims))
            enqueue_ms = (self.clock.monotonic() - started) * 1000
            place = _Place(plan.stored.pool)
            own = [
                self._own(port, shard, waiter, deadline, sent[number : number + 1], place)
                for number, (shard, waiter) in enumerate(zip(shards, waiters, strict=False))
            ]
            foreign = [self._foreign(waiter, others[waiter.job_id], deadline) for waiter in waiters[len(ids) :]]
            inflight = [*own, *foreign]
            shortfall = await self._wait(port, plan, deadline, inflight, place).finish()
            return DispatchResult(shards, [each.outcome for each in own], shortfall, enqueue_ms)
        except asyncio.CancelledError:
            port.withdraw_soon(ids, lambda pipe: self._withdraw(shards, pipe))
            raise
        finally:
            port.forget(waiters)

    def _wait(
        self, port: Port, plan: RequestPlan, deadline: Deadline, inflight: Sequence[InflightShard], place: _Place
    ) -> Wait:
        keys, model = self.keys.of(plan.stored.pool), plan.stored.model
        return Wait(
            port,
            keys,
            self.clock,
            deadline,
            inflight,
            model,
            alive=lambda: count_processes(port, keys, model, self.clock.epoch()),
            free=lambda: self._free(port, plan, place),
        )

    async def _free(self, port: Port, plan: RequestPlan, place: _Place) -> int:
        """Return the processes alive less the unanswered jobs of the pool; it may be below 0.

        A pool that has lost all its processes is left for another one of its model: workers of an earlier release, say,
        do not take its jobs over.
        """
        workers, unanswered = await self.fleet_load.counts(port, place.pool)
        if workers == 0:
            self.served_models.forget(plan.stored.model)
            pools = await self.served_models.get(port, plan.stored.model)
            left, place.pool = place.pool, pool_id_of(pool_for(pools, plan.query))
            if place.pool != left:
                # However busy the other pool is: where the job lies, nobody takes it.
                return 1
        return workers - unanswered

    async def make_shards(
        self,
        port: Port,
        plan: RequestPlan,
        deadline: Deadline,
        *,
        partial: bool,
        count: int | None,
        seen: FleetLoad | None = None,
    ) -> list[Shard]:
        """Return the shards of the misses. Raises Overloaded, DeadlineTooShort, QueueUnavailable."""
        if (late_s := self.clock.monotonic() - deadline.at) >= 0:
            raise DeadlineTooShort(
                f"the deadline passed {late_s * 1000:.0f} ms before anything could be enqueued: allow a longer deadline"
            )
        load = await self.failover.through(port, deadline, lambda: self._load(port, plan, seen))
        return make_shards(plan, self.settings, self.clock.epoch(), load, partial=partial, count=count)

    async def _load(self, port: Port, plan: RequestPlan, seen: FleetLoad | None) -> FleetLoad:
        if seen is None:
            return await self.fleet_load.get(port, plan.stored.model, plan.stored.pool)
        return await self.fleet_load.with_backlog(port, seen)

    async def _send(
        self,
        port: Port,
        shards: Sequence[Shard],
        claims: Sequence[StoredValue] = (),
        forgotten: Sequence[str] = (),
        after: Sequence[Carrier] = (),
    ) -> Sequence[Carrier]:
        values = [*(value for shard in shards for value in shard.stored_values(self.keys)), *claims]
        jobs = [shard.job for shard in shards]
        return await send(port, self.keys, jobs, port.reply_to, values, forgotten, after=after)

    def _claims(self, shards: Sequence[Shard], plan: RequestPlan) -> list[StoredValue]:
        claims: list[StoredValue] = []
        for shard in shards:
            if self.settings.single_flight and plan.digests and shard.late_after_s is not None:
                digests = [plan.digests[plan.stored.misses[offset]] for offset in shard.offsets]
                claims += claims_of(self.keys, shard.job, digests, shard.late_after_s)
        return claims

    def _withdraw(self, shards: Sequence[Shard], pipe: Any) -> None:
        for shard in shards:
            shard.remove_from(pipe, self.keys)

    def _own(
        self, port: Port, shard: Shard, waiter: Waiter, deadline: Deadline, sent: Sequence[Carrier], place: _Place
    ) -> InflightShard:
        async def send_again(inflight: InflightShard, reason: SendReason) -> None:
            nonlocal shard
            left = shard
            shard = shard.next_attempt(place.pool)
            text_lost = reason == "text_lost"
            if text_lost:
                shard = shard.inline()
            # The record that its text was lost would be taken for the answer.
            forgotten = [self.keys.result(waiter.job_id)] if text_lost else []
            await self._send(port, [shard], forgotten=forgotten, after=sent)
            if shard.job.pool != left.job.pool:
                inflight.member = BacklogMember.of(self.keys, shard.job)
                await port.pipeline(lambda pipe: uncount(pipe, self.keys, left.job))
            metrics.JOBS_SENT_AGAIN.labels(shard.job.job_class, reason).inc()
            current_span().event("sent again", {"rerank.reason": reason, "messaging.message.id": waiter.job_id})

        sent_at = self.clock.monotonic()
        late_at = math.inf if shard.late_after_s is None else sent_at + shard.late_after_s
        member = BacklogMember.of(self.keys, shard.job)
        return InflightShard(waiter, HedgePolicy(sent_at, deadline.at, late_at), member, send_again)

    def _foreign(self, waiter: Waiter, until: float, deadline: Deadline) -> InflightShard:
        now = self.clock.monotonic()
        policy = HedgePolicy(now, min(deadline.at, now + until - self.clock.epoch()))
        # Its answer may have been announced before this client listened.
        policy.reconnected(now)
        return InflightShard(waiter, policy, own=False)
