"""One request's life on the caller's side: parse, look up, enqueue what is missing, wait, answer.

Written over a `Port`, so that the sync and the asyncio client are one. A request whose pairs are all cached never
touches the queue; one whose deadline has passed is never enqueued.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_producer import metrics
from rerank_producer.artefacts import ArtefactBook
from rerank_producer.clock import Clock, Deadline
from rerank_producer.patience import Patience
from rerank_producer.port import Port
from rerank_producer.preparation import (
    Parcel,
    Prepared,
    check_tokenizer,
    effective_max_length,
    make_parcel,
    parse,
    prepare,
    same_scores,
    ttl_s,
    wait_ms,
    without_hits,
)
from rerank_producer.response import build_response
from rerank_producer.waiting import ServerLost, Wait
from rerank_shared import wire
from rerank_shared.catalogue import name_of
from rerank_shared.digest import pair_digests
from rerank_shared.errors import DeadlineExceeded, QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.messages import Artefact, Outcome, Score, Stages
from rerank_shared.schemas import Document, RerankRequest, RerankResponse, Timings
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
Documents = Sequence[str | Mapping[str, Any] | Document]


@dataclass(slots=True)
class _Spent:
    """Milliseconds that a call has spent on its own side."""

    cache_ms: float = 0.0
    enqueue_ms: float = 0.0


@dataclass(slots=True)
class Flow:
    """What requests of one client have in common. Threads and event loops may share it."""

    settings: Settings
    clock: Clock = field(default_factory=Clock)
    keys: Keys = field(init=False)
    artefacts: ArtefactBook = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(self.settings.namespace)
        self.artefacts = ArtefactBook(self.keys, self.clock)

    async def rerank(
        self, port: Port, query: str, documents: Documents, options: Mapping[str, Any], *, partial: bool
    ) -> RerankResponse:
        """Return the answer to one request; see RerankClient.rerank."""
        with metrics.watched(options["job_class"]) as watch:
            request = parse(self.settings, query, documents, options)
            deadline, spent = self._deadline(request), _Spent()
            prepared = await self._prepare(port, request, deadline, spent)
            outcome = None
            try:
                if prepared.plan.misses:
                    prepared, outcome = await self._score(port, prepared, deadline, spent)
            except (DeadlineExceeded, ServerLost):
                if not partial:
                    raise
            watch.response = self._respond(prepared, outcome, deadline, spent)
            if not (partial or watch.response.complete):
                raise incomplete(watch.response.id, outcome)
            hits, seconds = len(prepared.plan.hits), self.clock.monotonic() - deadline.started
            metrics.observe_request(request.job_class, len(request.documents), hits, seconds)
            return watch.response

    async def submit(self, port: Port, query: str, documents: Documents, options: Mapping[str, Any]) -> str:
        """Enqueue one request and return its job id; see RerankClient.submit."""
        with metrics.watched(options["job_class"]):
            request = parse(self.settings, query, documents, options)
            deadline = self._deadline(request)
            prepared = await self._prepare(port, request, deadline, _Spent())
            plan = prepared.plan
            parcel = self._parcel(prepared, deadline) if plan.misses else None
            wait_s = max(0.0, plan.deadline_at - self.clock.epoch())
            life_s = ttl_s(wait_s + self.settings.result_ttl_s)

            def fill(pipe: Any) -> None:
                pipe.set(self.keys.request(plan.job_id), wire.encode_submitted(plan), ex=life_s)
                if parcel is not None:
                    parcel.add_to(pipe, self.keys)

            await port.pipeline(fill)
            if parcel is not None:
                await port.publish(parcel.job, None)
            return plan.job_id

    def _deadline(self, request: RerankRequest) -> Deadline:
        return Deadline.after(wait_ms(request, self.settings) / 1000, self.clock)

    async def _prepare(self, port: Port, request: RerankRequest, deadline: Deadline, spent: _Spent) -> Prepared:
        model = name_of(request.model or self.settings.model)
        started, submitted_at = self.clock.monotonic(), self.clock.epoch()
        artefact: Artefact | None = None
        max_length = request.max_length
        scores: list[Score | None] | None = None
        if request.documents:
            try:
                artefact = await self.artefacts.get(port, model)
                check_tokenizer(request, artefact)
                max_length = effective_max_length(request, self.settings, artefact)
                scores = await self._look_up(port, request, artefact, max_length)
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
            submitted_at=submitted_at,
            deadline_at=deadline.epoch_at,
        )

    async def _look_up(
        self, port: Port, request: RerankRequest, artefact: Artefact | None, max_length: int | None
    ) -> list[Score | None] | None:
        if artefact is None or max_length is None or not self.settings.cache:
            return None
        scores = await port.lookup(pair_digests(artefact, max_length, request.query, request.contents()))
        hits = len(scores) - scores.count(None)
        metrics.observe_lookup(hits, len(scores) - hits)
        return scores

    async def _score(
        self, port: Port, prepared: Prepared, deadline: Deadline, spent: _Spent
    ) -> tuple[Prepared, Outcome]:
        """Return the outcome for the misses, and what it is an outcome for: the request itself, or, where the fleet's
        model has changed since the look-up, the request without the hits, which another model scored."""
        outcome = await self._ask(port, prepared, deadline, spent)
        plan = prepared.plan
        if plan.hits and plan.artefact is not None and not same_scores(plan.artefact, outcome.artefact):
            self.artefacts.forget(plan.model)
            prepared = without_hits(prepared)
            outcome = await self._ask(port, prepared, deadline, spent)
        return prepared, outcome

    async def _ask(self, port: Port, prepared: Prepared, deadline: Deadline, spent: _Spent) -> Outcome:
        """Send one job and wait for its outcome; it is sent again, under the same id, if it seems lost."""
        parcel = self._parcel(prepared, deadline)
        started = self.clock.monotonic()
        # First, because it tells at once if the server is away, where the reply channel would try for a while.
        await port.pipeline(lambda pipe: parcel.add_to(pipe, self.keys))
        waiter = await port.listen(parcel.job.job_id)
        try:
            await port.publish(parcel.job, port.reply_to)
            sent_at = self.clock.monotonic()
            spent.enqueue_ms += (sent_at - started) * 1000

            async def send_again() -> None:
                nonlocal parcel
                parcel = parcel.again()
                await port.pipeline(lambda pipe: parcel.add_to(pipe, self.keys))
                await port.publish(parcel.job, port.reply_to)

            patience = Patience(sent_at, deadline.at, self.settings.redelivery_s)
            return await Wait(port, self.keys, self.clock, waiter, deadline, patience, send_again).outcome()
        except asyncio.CancelledError:
            port.revoke_soon(parcel.job.job_id)
            raise
        finally:
            port.forget(waiter)

    def _parcel(self, prepared: Prepared, deadline: Deadline) -> Parcel:
        if (late_s := self.clock.monotonic() - deadline.at) >= 0:
            raise DeadlineExceeded(
                f"the deadline passed {late_s * 1000:.0f} ms before anything could be enqueued: "
                "allow a longer deadline_ms"
            )
        return make_parcel(prepared, self.settings, self.clock.epoch())

    def _respond(
        self, prepared: Prepared, outcome: Outcome | None, deadline: Deadline, spent: _Spent
    ) -> RerankResponse:
        stages = Stages() if outcome is None else outcome.stages
        timings = Timings(
            cache_ms=spent.cache_ms,
            enqueue_ms=spent.enqueue_ms,
            queue_ms=stages.queue_ms,
            tokenize_ms=stages.tokenize_ms,
            batch_ms=stages.batch_ms,
            run_ms=stages.run_ms,
        )
        response = build_response(prepared.plan, outcome, metadata=prepared.metadata, timings=timings)
        timings.total_ms = (self.clock.monotonic() - deadline.started) * 1000
        return response


def incomplete(job_id: str, outcome: Outcome | None) -> DeadlineExceeded:
    """Return the error of a caller that wants all or nothing."""
    scores = () if outcome is None else outcome.scores
    return DeadlineExceeded(
        f"job {job_id}: {scores.count(None)} of its {len(scores)} documents were not scored before the deadline. "
        "Pass partial=True to get what there is, send fewer documents, or allow a longer deadline."
    )
