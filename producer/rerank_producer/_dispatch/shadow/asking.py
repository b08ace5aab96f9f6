"""Asks a shadow's pool for the scores of a sampled request: what its cache lacks, as one job of class bulk.

The job is sent once. It is not hedged, split or sent again, and it has a short deadline of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_producer._dispatch.lookup import RequestLookup
from rerank_producer._dispatch.shadow.dropping import Dropped, refuse_load
from rerank_producer._dispatch.shards import Shard, make_shards
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.port import Port
from rerank_producer._io.sending import send
from rerank_producer._request.merge import Scored, agree, combine
from rerank_producer._request.plan import RequestPlan, prepare
from rerank_producer._request.ranking import Ranking, ranking_of
from rerank_producer._request.stages import part_of
from rerank_shared.contract.messages import Outcome
from rerank_shared.errors import InternalError
from rerank_shared.routing.route import Target


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """A shadow's scores of the documents that the live model had scored, in their order, and its pool's load."""

    documents: Sequence[int]
    ranking: Ranking
    load: FleetLoad | None


@dataclass(frozen=True, slots=True)
class ShadowRequests:
    """Asks shadows. It looks up what the requests of its client do, and remembers the same."""

    lookup: RequestLookup
    clock: Clock

    async def ask(self, port: Port, sampled: Sampled) -> ShadowAnswer:
        """Return a shadow's scores of a request. Raises Dropped, and RerankErrors where they can't be had."""
        settings = self.lookup.settings
        deadline = Deadline.after(settings.shadow_deadline_ms / 1000, self.clock)
        scored = [index for index, score in enumerate(sampled.ranking.scores) if score is not None]
        request = part_of(sampled.request, scored).model_copy(update={"job_class": "bulk"})
        target = Target(sampled.shadow, sampled.route)
        found = await self.lookup.run(port, request, sampled.shadow, pinned=target)
        plan = prepare(
            request,
            target=target,
            pool=found.pool,
            max_length=found.max_length,
            scores=found.scores,
            submitted_at=self.clock.epoch(),
            deadline_at=deadline.epoch_at(self.clock),
            digests=found.digests,
        )
        run = await self._run(port, plan, deadline, found.load) if plan.stored.misses else None
        return ShadowAnswer(scored, ranking_of(plan.stored, run), found.load)

    async def _run(self, port: Port, plan: RequestPlan, deadline: Deadline, seen: FleetLoad | None) -> Scored | None:
        load = seen and await self.lookup.fleet_load.with_backlog(port, seen)
        refuse_load(load)
        assert load is not None
        (shard,) = make_shards(plan, self.lookup.settings, self.clock.epoch(), load, partial=False, count=1)
        outcome = await self._sent(port, shard, deadline)
        if not outcome.complete:
            raise Dropped("late")
        if not agree([outcome], plan.stored.identity if plan.stored.hits else None):
            self.lookup.served_models.forget(plan.stored.model)
            raise InternalError("the shadow's model changed between its cached and its new scores")
        return combine(len(plan.stored.misses), [shard.offsets], [outcome])

    async def _sent(self, port: Port, shard: Shard, deadline: Deadline) -> Outcome:
        keys = self.lookup.keys
        waiters = await port.listen([shard.job.job_id])
        try:
            await send(port, keys, [shard.job], port.reply_to, shard.stored_values(keys))
            (waiter,) = waiters
            while waiter.answer is None and (left_s := deadline.at - self.clock.monotonic()) > 0:
                await port.wait(waiter, left_s)
        finally:
            port.forget(waiters)
        if waiter.answer is None:
            raise Dropped("late")
        if isinstance(waiter.answer, Outcome):
            return waiter.answer
        raise waiter.answer
