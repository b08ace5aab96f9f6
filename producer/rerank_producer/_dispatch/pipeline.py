"""One request's life on the caller's side: parse, look up, enqueue what is missing, wait, answer.

Written over a `Port`, so that the sync and the asyncio client are one. A request whose pairs are all cached never
touches the queue; one whose deadline has passed, or that would miss it, is never enqueued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.dispatcher import Asked, Asking
from rerank_producer._dispatch.lookup import Looking, Sight
from rerank_producer._dispatch.served_models import ArtefactBook
from rerank_producer._dispatch.shards import Parcel
from rerank_producer._dispatch.single_flight import Claims
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.enqueue import Enqueue, Kept
from rerank_producer._io.port import Port
from rerank_producer._request.merge import Scored, agree, combine
from rerank_producer._request.plan import (
    Prepared,
    only_misses,
    parse,
    prepare,
    ttl_s,
    wait_ms,
    with_hits,
    with_misses,
    without_hits,
    without_misses,
)
from rerank_producer._request.response import build_response, model_info, stage_timings
from rerank_producer.fusion import FirstStage, with_ranks
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Submitted
from rerank_shared.contract.schemas import ModelInfo, RerankRequest, RerankResponse
from rerank_shared.errors import DeadlineExceeded, Overloaded, RerankError
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import name_of
from rerank_shared.queue.backlog import ledger_member
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.settings import Settings


@dataclass(slots=True)
class _Spent:
    """Milliseconds that a call has spent on its own side."""

    cache_ms: float = 0.0
    enqueue_ms: float = 0.0


@dataclass(slots=True)
class Flow:
    """What requests of one client have in common. Threads and event loops may share it."""

    settings: Settings
    clock: Clock = field(default_factory=Clock.of_server)
    keys: Keys = field(init=False)
    artefacts: ArtefactBook = field(init=False)
    asking: Asking = field(init=False)
    looking: Looking = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(self.settings.namespace)
        self.asking = Asking(self.settings, self.keys, self.clock)
        self.artefacts = ArtefactBook(self.keys, self.clock)
        self.looking = Looking(self.settings, self.keys, self.artefacts, self.asking.book)

    async def rerank(
        self, port: Port, query: str, given: FirstStage, options: Mapping[str, Any], *, partial: bool
    ) -> RerankResponse:
        """Return the answer to one request; see RerankClient.rerank."""
        with metrics.watched(options["job_class"]) as watch:
            request = parse(self.settings, query, given.candidates(), options)
            deadline, spent = self._deadline(request), _Spent()
            sight, prepared = await self._prepare(port, request, deadline, spent)
            scored, shortfall = None, None
            if prepared.plan.misses:
                try:
                    prepared, scored, shortfall = await self._score(port, prepared, sight, deadline, spent, partial)
                except (DeadlineExceeded, Overloaded) as error:
                    shortfall = error
            watch.response = with_ranks(self._respond(prepared, scored, deadline, spent), request.documents)
            if shortfall is not None and not (partial and _worth_having(shortfall, watch.response)):
                raise shortfall
            if not (partial or watch.response.complete):
                raise incomplete(prepared.plan, scored)
            hits, seconds = len(prepared.plan.hits), self.clock.monotonic() - deadline.started
            metrics.observe_request(request.job_class, len(request.documents), hits, seconds)
            return watch.response

    async def submit(self, port: Port, query: str, given: FirstStage, options: Mapping[str, Any]) -> str:
        """Enqueue one request and return its job id; see RerankClient.submit."""
        with metrics.watched(options["job_class"]):
            request = parse(self.settings, query, given.candidates(), options)
            deadline = self._deadline(request)
            sight, prepared = await self._prepare(port, request, deadline, _Spent())
            if prepared.plan.misses:
                # One job: whoever collects it, in another process, knows it by the id of the request.
                (parcel,) = await self.asking.parcels(
                    port, prepared, deadline, partial=True, shards=1, seen=sight.prospects
                )
                await self._send(port, prepared.plan, parcel)
            else:
                kept = self._record(prepared.plan)
                until = self.clock.epoch() + kept.life_ms / 1000
                await port.pipeline(lambda pipe: keep(pipe, self.keys, str(kept.key), kept.value, until))
            return prepared.plan.job_id

    async def _send(self, port: Port, plan: Submitted, parcel: Parcel) -> None:
        record = self._record(replace(plan, entry=ledger_member(parcel.job)))

        def withdraw(pipe: Any) -> None:
            end(pipe, self.keys, str(record.key))
            parcel.remove_from(pipe, self.keys)

        try:
            await port.enqueue(Enqueue([parcel.job], None, [*parcel.kept(self.keys), record]))
        except asyncio.CancelledError:
            # Nobody was told its id.
            port.withdraw_soon([plan.job_id], withdraw)
            raise

    def _record(self, plan: Submitted) -> Kept:
        wait_s = max(0.0, plan.deadline_at - self.clock.epoch())
        life_s = ttl_s(wait_s + self.settings.result_ttl_s)
        return Kept(self.keys.request(plan.job_id), wire.encode_submitted(plan), life_s * 1000)

    async def model_info(self, port: Port, model: str | None) -> ModelInfo:
        """Return what the fleet serves under a model's name; see RerankClient.model_info."""
        name = name_of(model or self.settings.model)
        return model_info(name, await self.artefacts.get(port, name))

    def _deadline(self, request: RerankRequest) -> Deadline:
        return Deadline.after(wait_ms(request, self.settings) / 1000, self.clock)

    async def _prepare(
        self, port: Port, request: RerankRequest, deadline: Deadline, spent: _Spent
    ) -> tuple[Sight, Prepared]:
        model = name_of(request.model or self.settings.model)
        started = self.clock.monotonic()
        sight = await self.looking.look(port, request, model)
        spent.cache_ms = (self.clock.monotonic() - started) * 1000
        return sight, prepare(
            request,
            model=model,
            artefact=sight.artefact,
            max_length=sight.max_length,
            scores=sight.scores,
            submitted_at=self.clock.epoch(),
            deadline_at=deadline.epoch_at(self.clock),
            digests=sight.digests,
        )

    async def _score(
        self, port: Port, prepared: Prepared, sight: Sight, deadline: Deadline, spent: _Spent, partial: bool
    ) -> tuple[Prepared, Scored | None, RerankError | None]:
        """Return what was scored of the misses, why it is not all, and what it was scored for: the request itself, or,
        where the fleet's model has changed since the look-up or between two parts, the request as a whole once more."""
        claims = self._claims(sight, prepared.plan)
        mine = without_misses(prepared, claims.by_index)
        asked = await self.asking.ask(port, mine, deadline, partial=partial, beside=claims.jobs, seen=sight.prospects)
        if claims.by_index and asked.shortfall is None:
            mine, asked = await self._land(port, mine, asked, list(claims.by_index), deadline, partial)
        spent.enqueue_ms += asked.enqueue_ms
        plan = mine.plan
        if not agree(asked.outcomes, plan.artefact if plan.hits else None):
            self.artefacts.forget(plan.model)
            mine = without_hits(prepared)
            asked = await self.asking.ask(port, mine, deadline, partial=partial, shards=1)
        return (
            mine,
            combine(len(mine.plan.misses), [each.part for each in asked.parcels], asked.outcomes),
            asked.shortfall,
        )

    async def _land(
        self, port: Port, mine: Prepared, asked: Asked, others: Sequence[int], deadline: Deadline, partial: bool
    ) -> tuple[Prepared, Asked]:
        """Take the scores of pairs that were left to other requests from the cache, and send what did not get there."""
        assert mine.digests is not None
        scores, _ = await port.lookup([mine.digests[index] for index in others], lambda pipe: None)
        metrics.observe_lookup(len(scores) - scores.count(None), scores.count(None))
        found = {index: score for index, score in zip(others, scores, strict=True) if score is not None}
        mine = with_hits(mine, found)
        missing = [index for index in others if index not in found]
        if not missing:
            return mine, asked
        more = await self.asking.ask(port, only_misses(mine, missing), deadline, partial=partial)
        return with_misses(mine, missing), asked.then(more, len(mine.plan.misses))

    def _claims(self, sight: Sight, plan: Submitted) -> Claims:
        found = {index: sight.flights[index] for index in plan.misses} if sight.flights else {}
        claims = {index: value for index, value in found.items() if value is not None}
        return Claims.of(claims, now=self.clock.epoch(), deadline_at=plan.deadline_at)

    def _respond(self, prepared: Prepared, scored: Scored | None, deadline: Deadline, spent: _Spent) -> RerankResponse:
        timings = stage_timings(scored)
        timings.cache_ms, timings.enqueue_ms = spent.cache_ms, spent.enqueue_ms
        response = build_response(prepared.plan, scored, metadata=prepared.metadata, timings=timings)
        timings.total_ms = (self.clock.monotonic() - deadline.started) * 1000
        return response


def _worth_having(shortfall: RerankError, response: RerankResponse) -> bool:
    """Whether a caller that takes what there is gets an answer in spite of `shortfall`.

    A deadline passes for everybody, and first-stage order is an answer then; a refusal leaves time to ask elsewhere.
    """
    return not isinstance(shortfall, Overloaded) or any(result.scored for result in response.results)


def incomplete(plan: Submitted, scored: Scored | None) -> DeadlineExceeded:
    """Return the error of a caller that wants all or nothing."""
    unscored = len(plan.misses) if scored is None else scored.scores.count(None)
    return DeadlineExceeded(
        f"job {plan.job_id}: {unscored} of its {len(plan.misses)} documents were not scored before the deadline. "
        "Send fewer documents, allow a longer deadline, or take a partial answer."
    )
