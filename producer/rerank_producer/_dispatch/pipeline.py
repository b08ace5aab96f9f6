"""The request pipeline: parse a request, look its pairs up, send what is missing, wait, build the response.

It is written over a `Port`, so that the sync and the asyncio client share it. A request whose pairs are all cached
never touches the queue. A request whose deadline has passed, or that would miss it, is never enqueued.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rerank_producer import metrics
from rerank_producer._dispatch.dispatcher import Dispatcher, DispatchResult
from rerank_producer._dispatch.failover import Failover
from rerank_producer._dispatch.learned_deviations import LearnedDeviations, teach_all
from rerank_producer._dispatch.lookup import LookupResult, RequestLookup
from rerank_producer._dispatch.request_span import request_span, tell_answered, tell_asked, tell_planned
from rerank_producer._dispatch.routes.ended import OnEnded, telling_end
from rerank_producer._dispatch.routes.errors import naming
from rerank_producer._dispatch.routes.known import KnownRoutes
from rerank_producer._dispatch.routes.own_model import naming_origin
from rerank_producer._dispatch.served_models import ServedModels
from rerank_producer._dispatch.shards import Shard
from rerank_producer._dispatch.single_flight import PairClaims
from rerank_producer._dispatch.stages.cascade import Cascade, refuse_unknown, stages_of
from rerank_producer._dispatch.stages.one_model import OneModel
from rerank_producer._dispatch.stages.planned import Answered, Pass, Planned, Spent
from rerank_producer._dispatch.stages.shadowed import OnSampled, Shadowed, shadows_of
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.port import Port
from rerank_producer._io.sending import send
from rerank_producer._request.merge import Scored, agree, combine
from rerank_producer._request.plan import (
    RequestPlan,
    only_misses,
    parse,
    prepare,
    ttl_s,
    wait_ms,
    with_hits,
    with_limits,
    with_misses,
    without_hits,
    without_misses,
)
from rerank_producer._request.ranking import Ranking, ranking_of
from rerank_producer._request.response import build_response, stage_timings, with_swap
from rerank_producer.fusion.asked import fusion_of, learns_ratio, with_learned
from rerank_producer.fusion.lists import FirstStage, with_ranks
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Fusion, Outcome, StoredRequest, name_of
from rerank_shared.contract.schemas import ModelInfo, RerankRequest, RerankResponse
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, Overloaded, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.pools import pool_for
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.job_queue import StoredValue
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.routing.route import Target
from rerank_shared.settings import Settings
from rerank_shared.tracing.spans import Span, current_span


@dataclass(slots=True, weakref_slot=True)
class RequestPipeline:
    """The pipeline of one client. Threads and event loops may share it."""

    settings: Settings
    clock: Clock = field(default_factory=Clock.of_server)
    #: Told of each call of `rerank` that came by a route, when it ends.
    on_routed_end: OnEnded | None = None
    #: Takes the requests that shadows are to score once more; None: no shadow scores any.
    on_sampled: OnSampled | None = None
    keys: Keys = field(init=False)
    served_models: ServedModels = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    learned: LearnedDeviations = field(init=False)
    routes: KnownRoutes = field(init=False)
    lookup: RequestLookup = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(self.settings.namespace)
        self.served_models = ServedModels(self.keys, self.clock)
        self.dispatcher = Dispatcher(self.settings, self.keys, self.clock, self.served_models)
        self.learned = LearnedDeviations(self.keys, self.clock)
        self.routes = KnownRoutes(self.keys, self.clock)
        self.lookup = RequestLookup(
            self.settings, self.keys, self.routes, self.served_models, self.dispatcher.fleet_load, self.learned
        )

    @property
    def failover(self) -> Failover:
        """How long a step waits for the server to come back."""
        return self.dispatcher.failover

    async def rerank(
        self,
        port: Port,
        query: str,
        given: FirstStage,
        options: Mapping[str, Any],
        *,
        partial: bool | Literal["scored"],
    ) -> RerankResponse:
        """Return the response to one request; see RerankClient.rerank."""
        job_class = options.get("job_class", "interactive")
        with (
            request_span("rerank") as span,
            metrics.watched(job_class) as watch,
            telling_end(self.on_routed_end, self.clock, watch),
            self._naming_origin(options),
        ):
            request = parse(self.settings, query, given.candidates(), options)
            started = self.clock.monotonic()
            await refuse_unknown(port, self.served_models, request)
            planned = await self._plan(port, request, started, span)
            watch.target = planned.found.target
            response = await self._pass(port, planned, partial).answer(planned)
            if request.job_class == "interactive":
                response = with_swap(response, self.settings.feedback_swap_share)
            watch.response = response
            tell_answered(span, request, response, self.settings)
            metrics.observe_fusion(response)
            # A later stage may have run pairs where the first found all of its own in the cache.
            count, hits = len(request.documents), len(planned.plan.stored.hits)
            hits = min(hits, max(0, count - response.usage.pairs_run))
            metrics.observe_request(request.job_class, count, hits, self.clock.monotonic() - started)
            return response

    def _pass(self, port: Port, planned: Planned, partial: bool | Literal["scored"]) -> Pass:
        """Return how a request is answered: in stages, or, as most are, by one model, with shadows or without."""
        if stages := stages_of(planned.request, planned.found.target):
            return Cascade(self, self.settings, port, stages, partial)
        live = OneModel(self, port, partial)
        models = shadows_of(planned) if self.on_sampled is not None else ()
        return Shadowed(live, models, self.on_sampled) if models and self.on_sampled is not None else live

    async def answer(self, port: Port, planned: Planned, *, partial: bool) -> Answered:
        """Score what is missing of a planned request, and return its response.

        Raises what `rerank` raises, but for what leaves an incomplete response, which stands beside it.
        """
        plan, scored, shortfall = planned.plan, None, None
        if plan.stored.misses:
            try:
                plan, scored, shortfall = await self._score(port, planned, partial)
            except (DeadlineExceeded, Overloaded) as error:
                shortfall = error
        response, ranking = self._respond(plan, scored, planned.deadline, planned.spent)
        if shortfall is None and not response.complete:
            shortfall = incomplete(plan.stored, scored)
        return Answered(with_ranks(response, planned.request.documents), shortfall, ranking)

    async def submit(self, port: Port, query: str, given: FirstStage, options: Mapping[str, Any]) -> str:
        """Enqueue one request and return its job id; see RerankClient.submit."""
        job_class = options.get("job_class", "interactive")
        with request_span("submit") as span, metrics.watched(job_class), self._naming_origin(options):
            request = parse(self.settings, query, given.candidates(), options)
            planned = await self._plan(port, request, self.clock.monotonic(), span)
            found, plan, deadline = planned.found, planned.plan, planned.deadline
            with naming(found.target):
                if stages_of(request, found.target):
                    raise InvalidRequest("stages: a submitted request has one model; wait for the answer, by rerank")
                if plan.stored.misses:
                    # One job: the process that collects it knows the id of the request alone.
                    (shard,) = await self.dispatcher.make_shards(
                        port, plan, deadline, partial=True, count=1, seen=found.load
                    )
                    await self._send(port, plan.stored, shard, deadline)
                else:
                    await self._keep_answered(port, plan.stored, deadline)
            return plan.stored.job_id

    async def _keep_answered(self, port: Port, stored: StoredRequest, deadline: Deadline) -> None:
        """Store a request that the cache answers as a whole, with a record as a worker would have written it.

        Without that, whoever waits for the record by Celery's AsyncResult would wait for ever.
        """
        request = self._record(stored)
        values = {str(request.key): request.value}
        if stored.identity is not None:
            scores = tuple(stored.hits[index] for index in range(len(stored.ids)))
            outcome = Outcome(stored.job_id, scores, stored.identity, worker="")
            values[self.keys.result(stored.job_id)] = wire.encode_record(outcome)
        until = self.clock.epoch() + request.life_ms / 1000

        def fill(pipe: Any) -> None:
            for key, value in values.items():
                keep(pipe, self.keys, key, value, until)

        await self.failover.through(port, deadline, lambda: port.pipeline(fill))

    async def _send(self, port: Port, stored: StoredRequest, shard: Shard, deadline: Deadline) -> None:
        record = self._record(replace(stored, entry=backlog_member(shard.job)))

        def withdraw(pipe: Any) -> None:
            end(pipe, self.keys, str(record.key))
            shard.remove_from(pipe, self.keys)

        values = [*shard.stored_values(self.keys), record]
        try:
            await self.failover.through(port, deadline, lambda: send(port, self.keys, [shard.job], None, values))
        except asyncio.CancelledError:
            # The caller never learnt the id.
            port.withdraw_soon([stored.job_id], withdraw)
            raise

    def _record(self, stored: StoredRequest) -> StoredValue:
        wait_s = max(0.0, stored.deadline_at - self.clock.epoch())
        life_s = ttl_s(wait_s + self.settings.result_ttl_s)
        return StoredValue(self.keys.request(stored.job_id), wire.encode_stored_request(stored), life_s * 1000)

    async def model_info(self, port: Port, model: str | None) -> ModelInfo:
        """Return what the fleet serves under a name; see RerankClient.model_info."""
        name = name_of(model or self.settings.model)
        patient = Deadline.after(math.inf, self.clock)
        with naming_origin(self.settings, named=bool(model)):
            return await self.failover.through(port, patient, lambda: self.lookup.model_info(port, name))

    def _naming_origin(self, options: Mapping[str, Any]) -> AbstractContextManager[None]:
        return naming_origin(self.settings, named=bool(options.get("model") or options.get("stages")))

    async def _plan(self, port: Port, request: RerankRequest, started: float, span: Span) -> Planned:
        tell_asked(span, request, self.settings)
        name = name_of(request.model or self.settings.model)
        fusion, pinned = fusion_of(request, self.settings), Target(request.stages[0].model) if request.stages else None
        found = await self.lookup.run(port, request, name, fusion, pinned=pinned)
        request = with_limits(request, found.target.limits)
        deadline = Deadline(started, started + wait_ms(request, self.settings) / 1000)
        planned = self.prepare(request, found, fusion, deadline)
        planned.spent.cache_ms = (self.clock.monotonic() - started) * 1000
        tell_planned(span, planned.plan)
        return planned

    def prepare(
        self,
        request: RerankRequest,
        found: LookupResult,
        fusion: Fusion | None,
        deadline: Deadline,
        *,
        teaches: bool = True,
    ) -> Planned:
        """Return what is to be done for a request that was looked up; `teaches`: fusion learns from its answer."""
        if found.target.route is not None:
            metrics.ROUTED_REQUESTS.labels(found.target.route.name, found.target.model).inc()
        if fusion is not None and learns_ratio(fusion):
            key = self.learned.key(request, fusion, found.identity) if teaches else ""
            fusion = with_learned(fusion, found.deviations, key)
        plan = prepare(
            request,
            target=found.target,
            pool=found.pool,
            max_length=found.max_length,
            scores=found.scores,
            submitted_at=self.clock.epoch(),
            deadline_at=deadline.epoch_at(self.clock),
            digests=found.digests,
            fusion=fusion,
        )
        return Planned(request, found, plan, deadline)

    async def _score(
        self, port: Port, planned: Planned, partial: bool
    ) -> tuple[RequestPlan, Scored | None, RerankError | None]:
        """Score the misses of a plan; return the plan that was carried out, its scores, and why some are missing.

        The plan changes where the fleet's model changed after the look-up, or between two shards: cached and new scores
        would not compare, so one job scores the whole request again.
        """
        plan, found, deadline = planned.plan, planned.found, planned.deadline
        claims = self._claims(found, plan.stored)
        own = without_misses(plan, claims.by_index)
        result = await self.dispatcher.dispatch(
            port, own, deadline, partial=partial, beside=claims.jobs, seen=found.load
        )
        if claims.by_index and result.shortfall is None:
            own, result = await self._score_claimed(port, own, result, list(claims.by_index), deadline, partial)
        planned.spent.enqueue_ms += result.enqueue_ms
        if not agree(result.outcomes, own.stored.identity if own.stored.hits else None):
            self.served_models.forget(own.stored.model)
            metrics.REQUESTS_RESCORED.inc()
            current_span().event("scored again", {"rerank.reason": "model changed"})
            own = without_hits(plan, pool_for(await self.served_models.get(port, own.stored.model), plan.query))
            result = await self.dispatcher.dispatch(port, own, deadline, partial=partial, count=1)
        offsets = [shard.offsets for shard in result.shards]
        return own, combine(len(own.stored.misses), offsets, result.outcomes), result.shortfall

    async def _score_claimed(
        self,
        port: Port,
        own: RequestPlan,
        result: DispatchResult,
        claimed: Sequence[int],
        deadline: Deadline,
        partial: bool,
    ) -> tuple[RequestPlan, DispatchResult]:
        """Read the scores of pairs that other requests had claimed from the cache; send the pairs that it lacks."""
        assert own.digests is not None
        scores, _ = await port.lookup([own.digests[index] for index in claimed], lambda pipe: None)
        metrics.observe_lookup(len(scores) - scores.count(None), scores.count(None))
        found = {index: score for index, score in zip(claimed, scores, strict=True) if score is not None}
        own = with_hits(own, found)
        missing = [index for index in claimed if index not in found]
        if not missing:
            return own, result
        more = await self.dispatcher.dispatch(port, only_misses(own, missing), deadline, partial=partial)
        return with_misses(own, missing), result.then(more, len(own.stored.misses))

    def _claims(self, found: LookupResult, stored: StoredRequest) -> PairClaims:
        values = {index: found.claims[index] for index in stored.misses} if found.claims else {}
        claims = {index: value for index, value in values.items() if value is not None}
        return PairClaims.of(claims, now=self.clock.epoch(), deadline_at=stored.deadline_at)

    def _respond(
        self, plan: RequestPlan, scored: Scored | None, deadline: Deadline, spent: Spent
    ) -> tuple[RerankResponse, Ranking]:
        timings = stage_timings(scored)
        timings.cache_ms, timings.enqueue_ms = spent.cache_ms, spent.enqueue_ms
        started = self.clock.monotonic()
        ranking = ranking_of(plan.stored, scored)
        if ranking.fused is not None:
            timings.fuse_ms = (self.clock.monotonic() - started) * 1000
            self.learned.teach(ranking)
        response = build_response(plan.stored, scored, ranking, metadata=plan.metadata, timings=timings)
        timings.total_ms = (self.clock.monotonic() - deadline.started) * 1000
        return response, ranking

    async def flush(self, port: Port) -> None:
        """Write what waits for a later look-up. What can't be written is lost."""
        if lessons := self.learned.taken_lessons():
            with suppress(QueueUnavailable):
                await port.pipeline(lambda pipe: teach_all(pipe, lessons))


def incomplete(stored: StoredRequest, scored: Scored | None) -> DeadlineExceeded:
    """Return the error for a caller that takes no partial answer."""
    unscored = len(stored.misses) if scored is None else scored.scores.count(None)
    return DeadlineExceeded(
        f"job {stored.job_id}: {unscored} of its {len(stored.misses)} documents were not scored before the deadline. "
        "Send fewer documents, allow a longer deadline, or take a partial answer."
    )
