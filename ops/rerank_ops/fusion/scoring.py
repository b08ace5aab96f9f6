"""Logits of a labelled set, from the fleet: one request a query, of the class bulk, without fusion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_producer import AsyncRerankClient
from rerank_producer._io.cancelling import end_tasks
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result
from rerank_shared.errors import DeadlineExceeded, RunDiffers


@dataclass(slots=True)
class OneModel:
    """The model that answers: scores of two, as a fleet gives them while it is upgraded, are not measured as one's."""

    model: ModelInfo | None = None

    def check(self, answered: ModelInfo) -> None:
        """Raise RunDiffers where another model has answered before."""
        if self.model is None:
            self.model = answered
        elif (self.model.digest, self.model.precision) != (answered.digest, answered.precision):
            raise RunDiffers(
                f"two models answered, {_told(self.model)} and {_told(answered)}: the fleet is being upgraded, or the "
                "name is that of a route with shares. The same command works when all workers serve one model"
            )


def _told(model: ModelInfo) -> str:
    return f"{model.name} {model.precision} {(model.digest or '')[:12]}"


async def score(
    client: AsyncRerankClient,
    labelled: LabelledSet,
    *,
    concurrency: int,
    on_answer: Callable[[RerankResponse | None], object],
    options: Mapping[str, Any],
) -> list[ScoredQuery]:
    """Return every query with the logits of its candidates, or raise the first error of the client.

    Raises RunDiffers where two models answered. `on_answer` hears each response; None for a query without candidates.
    """
    free, one_model = asyncio.Semaphore(concurrency), OneModel()

    async def one(query: LabelledQuery) -> ScoredQuery:
        async with free:
            response = await _asked(client, query, options)
        if response is not None:
            one_model.check(response.model)
        on_answer(response)
        results = () if response is None else _in_order(response)
        return ScoredQuery(
            id=query.id,
            documents=tuple(str(candidate.id) for candidate in query.candidates),
            logits=tuple(result.logit or 0.0 for result in results),
            scores=tuple(candidate.score for candidate in query.candidates),
            order=query.order,
            tokens=tuple(result.tokens or 0 for result in results),
            cut=tuple(result.truncated for result in results),
        )

    tasks = [asyncio.create_task(one(query)) for query in labelled.queries]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await end_tasks(tasks)


def logits_of(response: RerankResponse) -> tuple[float, ...]:
    """Return the logits of a complete response, in the order of the request's documents."""
    return tuple(result.logit or 0.0 for result in _in_order(response))


def _in_order(response: RerankResponse) -> list[Result]:
    return sorted(response.results, key=lambda result: result.index)


async def _asked(client: AsyncRerankClient, query: LabelledQuery, options: Mapping[str, Any]) -> RerankResponse | None:
    if not query.candidates:
        return None
    try:
        return await client.rerank(
            query.query,
            query.candidates,
            job_class="bulk",
            fusion="none",
            partial=False,
            **{**options, **query.options},
        )
    except DeadlineExceeded as error:
        raise DeadlineExceeded(
            f"query {query.id}: {error.message}. Scores so far are cached, so that the same command goes on from them; "
            "`rerank-fleet doctor` shows whether workers are alive, and RERANK_BULK_DEADLINE_MS gives them longer"
        ) from error
