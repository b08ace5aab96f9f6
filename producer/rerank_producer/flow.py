"""One request's life on the caller's side: parse, look up, enqueue what is missing, wait, answer.

Written over a `Port`, so that the sync and the asyncio client are one. A request whose pairs are all cached never
touches the queue; one whose deadline has passed, or that would miss it, is never enqueued.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_producer import metrics
from rerank_producer.artefacts import ArtefactBook
from rerank_producer.asking import Asked, Asking
from rerank_producer.clock import Clock, Deadline
from rerank_producer.flights import Claims
from rerank_producer.fusion import FirstStage, with_ranks
from rerank_producer.port import Port
from rerank_producer.preparation import (
    Prepared,
    check_tokenizer,
    effective_max_length,
    only_misses,
    parse,
    prepare,
    wait_ms,
    with_hits,
    with_misses,
    without_hits,
    without_misses,
)
from rerank_producer.response import build_response, model_info, stage_timings
from rerank_producer.scored import Scored, agree, combine
from rerank_shared import wire
from rerank_shared.catalogue import name_of
from rerank_shared.digest import pair_digests
from rerank_shared.errors import DeadlineExceeded, Overloaded, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.lifetimes import end, keep
from rerank_shared.messages import Artefact, Score, Submitted, cache_tenant
from rerank_shared.schemas import ModelInfo, RerankRequest, RerankResponse
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)


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

    def __post_init__(self) -> None:
        self.keys = Keys(self.settings.namespace)
        self.asking = Asking(self.settings, self.keys, self.clock)
        self.artefacts = ArtefactBook(self.keys, self.clock)

    async def rerank(
        self, port: Port, query: str, given: FirstStage, options: Mapping[str, Any], *, partial: bool
    ) -> RerankResponse:
        """Return the answer to one request; see RerankClient.rerank."""
        with metrics.watched(options["job_class"]) as watch:
            request = parse(self.settings, query, given.candidates(), options)
            deadline, spent = self._deadline(request), _Spent()
            prepared = await self._prepare(port, request, deadline, spent)
            scored, shortfall = None, None
            if prepared.plan.misses:
                try:
                    prepared, scored, shortfall = await self._score(port, prepared, deadline, spent, partial)
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
            prepared = await self._prepare(port, request, deadline, _Spent())
            plan = prepared.plan
            parcel = None
            if plan.misses:
                # One job: whoever collects it, in another process, knows it by the id of the request.
                (parcel,) = await self.asking.parcels(port, prepared, deadline, partial=True, shards=1)
            until = max(plan.deadline_at, self.clock.epoch()) + self.settings.result_ttl_s

            def fill(pipe: Any) -> None:
                keep(pipe, self.keys, self.keys.request(plan.job_id), wire.encode_submitted(plan), until)
                if parcel is not None:
                    parcel.add_to(pipe, self.keys)

            def withdraw(pipe: Any) -> None:
                end(pipe, self.keys, self.keys.request(plan.job_id))
                if parcel is not None:
                    parcel.remove_from(pipe, self.keys)

            try:
                await port.pipeline(fill)
                if parcel is not None:
                    await port.publish(parcel.job, None)
            except asyncio.CancelledError:
                # Nobody was told its id.
                port.withdraw_soon([plan.job_id], withdraw)
                raise
            return plan.job_id

    async def model_info(self, port: Port, model: str | None) -> ModelInfo:
        """Return what the fleet serves under a model's name; see RerankClient.model_info."""
        name = name_of(model or self.settings.model)
        return model_info(name, await self.artefacts.get(port, name))

    def _deadline(self, request: RerankRequest) -> Deadline:
        return Deadline.after(wait_ms(request, self.settings) / 1000, self.clock)

    async def _prepare(self, port: Port, request: RerankRequest, deadline: Deadline, spent: _Spent) -> Prepared:
        model = name_of(request.model or self.settings.model)
        started = self.clock.monotonic()
        artefact: Artefact | None = None
        max_length = request.max_length
        scores: list[Score | None] | None = None
        digests: list[bytes] | None = None
        if request.documents:
            try:
                artefact = await self.artefacts.get(port, model)
                check_tokenizer(request, artefact)
                max_length = effective_max_length(request, self.settings, artefact)
                if artefact is not None and max_length is not None and self.settings.cache:
                    digests = pair_digests(
                        artefact,
                        max_length,
                        request.query,
                        request.contents(),
                        cache_tenant=cache_tenant(request.cache_scope, request.tenant),
                    )
                    scores = await self._found(port, digests)
            except QueueUnavailable as error:
                # A cache that can't be read is a miss. If the server is really away, enqueuing will say so.
                log.debug("look-up failed error=%r", error)
        spent.cache_ms = (self.clock.monotonic() - started) * 1000
        return prepare(
            request,
            model=model,
            artefact=artefact,
            max_length=max_length,
            scores=scores,
            submitted_at=self.clock.epoch(),
            deadline_at=deadline.epoch_at(self.clock),
            digests=digests,
        )

    async def _found(self, port: Port, digests: list[bytes]) -> list[Score | None]:
        scores = await port.lookup(digests)
        hits = len(scores) - scores.count(None)
        metrics.observe_lookup(hits, len(scores) - hits)
        return scores

    async def _score(
        self, port: Port, prepared: Prepared, deadline: Deadline, spent: _Spent, partial: bool
    ) -> tuple[Prepared, Scored | None, RerankError | None]:
        """Return what was scored of the misses, why it is not all, and what it was scored for: the request itself, or,
        where the fleet's model has changed since the look-up or between two parts, the request as a whole once more."""
        claims = await self._claims(port, prepared, deadline)
        mine = without_misses(prepared, claims.by_index)
        asked = await self.asking.ask(port, mine, deadline, partial=partial, beside=claims.jobs)
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
        scores = await self._found(port, [mine.digests[index] for index in others])
        found = {index: score for index, score in zip(others, scores, strict=True) if score is not None}
        mine = with_hits(mine, found)
        missing = [index for index in others if index not in found]
        if not missing:
            return mine, asked
        more = await self.asking.ask(port, only_misses(mine, missing), deadline, partial=partial)
        return with_misses(mine, missing), asked.then(more, len(mine.plan.misses))

    async def _claims(self, port: Port, prepared: Prepared, deadline: Deadline) -> Claims:
        plan, digests = prepared.plan, prepared.digests
        if not self.settings.single_flight or digests is None:
            return Claims({})
        now = self.clock.epoch()
        return await Claims.read(port, self.keys, digests, plan.misses, now=now, deadline_at=plan.deadline_at)

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
