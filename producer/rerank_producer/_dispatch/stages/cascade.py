"""A cascade: the first stage scores all documents, each later one the best of the order so far, under one deadline.

Each stage is an ordinary request to its own model, with the look-up, cached scores, pool and admission of that model.
Where a later stage can't answer in time, the order before it is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rerank_producer._dispatch.lookup import LookupResult
from rerank_producer._dispatch.routes.errors import naming
from rerank_producer._dispatch.served_models import ServedModels
from rerank_producer._dispatch.stages.planned import Planned, Requests
from rerank_producer._io.clock import Deadline
from rerank_producer._io.port import Port
from rerank_producer._request.stages import Capacity, StageAnswer, above, joined, kept, part_of, placed
from rerank_producer.fusion.asked import fusion_of
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, Result
from rerank_shared.errors import (
    DeadlineExceeded,
    DeadlineTooShort,
    JobLost,
    JobPoisoned,
    Overloaded,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
    UnknownModel,
)
from rerank_shared.routing.route import Stage, Target
from rerank_shared.scheduling.urgency import answer_by, due_at
from rerank_shared.settings import Settings
from rerank_shared.tracing.spans import current_span

NO_WORKERS = "no_workers"
#: What may happen to a later stage and leaves the order before it as the answer.
_LEFT_OUT = (Overloaded, DeadlineExceeded, QueueUnavailable, JobLost, JobPoisoned, ScoringFailed)


def stages_of(request: RerankRequest, target: Target) -> tuple[Stage, ...]:
    """Return the stages that answer a request: its own, or its route's; none where one model answers."""
    if request.stages:
        return tuple(each.stage() for each in request.stages)
    return () if target.route is None else target.route.stages


async def refuse_unknown(port: Port, served: ServedModels, request: RerankRequest) -> None:
    """Raise UnknownModel for a stage that a request names and nobody serves, before any stage has cost anything."""
    for number, stage in enumerate(request.stages or ()):
        try:
            await served.get(port, stage.model)
        except UnknownModel as error:
            raise UnknownModel(f"stages.{number}.{error.message}. A stage names a model, never a route") from None
        except QueueUnavailable:
            # The first stage tells of it.
            continue


@dataclass(frozen=True, slots=True)
class Cascade:
    """Answers one request in stages. `partial`: its caller takes what there is at the deadline."""

    requests: Requests
    settings: Settings
    port: Port
    stages: Sequence[Stage]
    partial: bool | Literal["scored"]

    async def answer(self, first: Planned) -> RerankResponse:
        """Return the answer to a request that was planned for the first stage.

        Raises what a request to one model raises: of the first stage always; of a later one where the caller takes no
        partial answer, the request is wrong, or it was cancelled.
        """
        top_n = first.plan.stored.top_n
        whole = replace(first.plan, stored=replace(first.plan.stored, top_n=None))
        with naming(first.found.target):
            answered = await self.requests.answer(self.port, replace(first, plan=whole), partial=bool(self.partial))
            response = answered.taken(partial=self.partial)
        stage, count = self.stages[0], len(first.request.documents)
        marked = tuple(
            each.model_copy(update={"scored_by": stage.model}) if each.scored else each for each in response.results
        )
        parts = [StageAnswer(stage, count, marked, response, _code(answered.shortfall))]
        order: list[Result] = list(marked)
        for stage in self.stages[1:]:
            parts.append(await self._later(stage, order, first))
            order = above(parts[-1].results, order)
        answer = joined(response, parts, top_n)
        clock = self.requests.dispatcher.clock
        answer.timings.total_ms = (clock.monotonic() - first.deadline.started) * 1000
        return answer

    async def _later(self, stage: Stage, order: Sequence[Result], first: Planned) -> StageAnswer:
        """Return what came of a later stage. Raises where that is not the earlier order."""
        asked = kept(order, stage)
        if not asked:
            return StageAnswer(stage, 0)
        current_span().event("next stage", {"reranker.model_name": stage.model, "rerank.documents": len(asked)})
        try:
            return await self._asked(stage, asked, first)
        except RerankError as error:
            # A caller can do nothing about the models of a route.
            gone = isinstance(error, UnknownModel) and first.found.target.route is not None
            if not self.partial or not (gone or isinstance(error, _LEFT_OUT)):
                raise
            return StageAnswer(stage, len(asked), reason=error.code)

    async def _asked(self, stage: Stage, asked: Sequence[Result], first: Planned) -> StageAnswer:
        request, target = _part(first, asked), Target(stage.model, first.found.target.route)
        found = await self.requests.lookup.run(
            self.port, request, stage.model, fusion_of(request, self.settings), pinned=target
        )
        with naming(target):
            if self.partial and _nobody_scores(found):
                return StageAnswer(stage, len(asked), reason=NO_WORKERS)
            if stage.keep == "auto":
                count = await self._fitting(request, found, first.deadline)
                if count == 0:
                    raise DeadlineTooShort(f"{stage.model!r} can score no document in the time that is left")
                asked, found = asked[:count], found.of_first(count)
            return await self._scored(stage, asked, first, found)

    async def _scored(self, stage: Stage, asked: Sequence[Result], first: Planned, found: LookupResult) -> StageAnswer:
        request = _part(first, asked)
        fusion = fusion_of(request, self.settings)
        planned = self.requests.prepare(request, found, fusion, first.deadline, teaches=False)
        answered = await self.requests.answer(self.port, planned, partial=bool(self.partial))
        if not self.partial:
            answered.taken(partial=False)
        results = placed(answered.response.results, asked, stage.model)
        return StageAnswer(stage, len(asked), results, answered.response, _code(answered.shortfall))

    async def _fitting(self, request: RerankRequest, found: LookupResult, deadline: Deadline) -> int:
        """Return how many of the best documents a pool can score in time; all while its cost is unknown."""
        load, clock = found.load, self.requests.dispatcher.clock
        if load is None or load.cost is None:
            return len(request.documents)
        load = await self.requests.dispatcher.fleet_load.with_backlog(self.port, load)
        cost, now, deadline_at = load.cost, clock.epoch(), deadline.epoch_at(clock)
        assert cost is not None
        due = due_at(deadline_at=deadline_at, entered_at=now, aging_s=self.settings.aging_s)
        lengths: list[int | None] = list(estimate_lengths(request.query, request.contents(), found.max_length))
        for index, score in enumerate(found.scores or ()):
            if score is not None:
                lengths[index] = None
        return Capacity(
            cost,
            load.open_to(request.job_class) if self.settings.shard else 1,
            load.wait_s(request.job_class, due),
            answer_by(deadline_at, len(lengths)) - now,
        ).fitting(lengths)


def _part(first: Planned, asked: Sequence[Result]) -> RerankRequest:
    return part_of(first.request, [each.index for each in asked])


def _nobody_scores(found: LookupResult) -> bool:
    """Whether a pool has no live process and the cache lacks some score."""
    dead = found.load is not None and found.load.workers == 0
    return dead and (found.scores is None or None in found.scores)


def _code(shortfall: RerankError | None) -> str | None:
    return None if shortfall is None else shortfall.code
