"""Scores of a model from the fleet: of all candidates through the cache, and of some queries again, timed and uncached.

The second pass shows two things. It asks one query after the other, so that its times are those of a caller on a fleet
that is otherwise idle. And its logits must be the same to the bit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_ops.evaluate.speed import Speed
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_ops.fusion.scoring import OneModel, logits_of, score
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_producer import AsyncRerankClient
from rerank_shared.contract.schemas import ModelInfo, RerankResponse
from rerank_shared.models.cpu import cpu_name
from rerank_worker.supervisor.cores import affinity

#: Requests in flight; enough for several processes, and few enough for a fleet that others use.
_IN_FLIGHT = 8
#: Long, because this tests no deadlines.
_DEADLINE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Again:
    """Queries that were asked again, one after the other, with no score from the cache.

    `logits` are those of each query's candidates, `latencies_ms` those of the queries that have any, as their caller
    on the machine `host` saw them. `processes` were alive.
    """

    logits: Mapping[str, tuple[float, ...]]
    latencies_ms: tuple[float, ...]
    processes: int = 0
    host: str = ""

    def by_query(self) -> dict[str, float]:
        """Return the milliseconds of each query that has candidates."""
        asked = (query for query, logits in self.logits.items() if logits)
        return dict(zip(asked, self.latencies_ms, strict=True))


@dataclass(frozen=True, slots=True)
class ModelScores:
    """A model's logits of all candidates. `name` is what its row is called.

    Of `pairs`, `truncated` were cut to fit, and `cached` had a score already. `again` is None where nothing was timed.
    """

    name: str
    model: ModelInfo
    queries: tuple[ScoredQuery, ...]
    pairs: int
    truncated: int
    cached: int
    again: Again | None = None

    @property
    def truncated_share(self) -> float:
        """Share of pairs that were cut, 0 to 1."""
        return self.truncated / self.pairs if self.pairs else 0.0

    @property
    def speed(self) -> Speed | None:
        """How fast the timed queries were; None where none was timed."""
        if self.again is None or not self.again.latencies_ms:
            return None
        return Speed(self.again.latencies_ms, sum(map(len, self.again.logits.values())))

    def largest_difference(self) -> float:
        """Return the largest difference between a logit and the one of the same pair when it was scored again."""
        first = {query.id: query.logits for query in self.queries}
        again = {} if self.again is None else self.again.logits
        return max(
            (abs(a - b) for name, logits in again.items() for a, b in zip(first[name], logits, strict=True)),
            default=0.0,
        )


@dataclass(slots=True)
class _Counted:
    """What responses tell besides logits."""

    tell: Callable[[], object]
    pairs: int = 0
    truncated: int = 0
    cached: int = 0
    model: ModelInfo | None = field(default=None)

    def hear(self, response: RerankResponse | None) -> None:
        """Count a response."""
        if response is not None:
            self.model = response.model
            self.pairs += len(response.results)
            self.truncated += sum(result.truncated for result in response.results)
            self.cached += sum(result.cached for result in response.results)
        self.tell()


async def scored(
    client: AsyncRerankClient,
    name: str,
    labelled: LabelledSet,
    timed: Sequence[str],
    *,
    options: Mapping[str, Any],
    tell: Callable[[], object],
    processes: int = 0,
) -> ModelScores:
    """Return the model's scores of all queries; those `timed`, by id, are asked again.

    Raises as the client does; RunDiffers where two models answered. `tell` is called for each answer.
    """
    counted = _Counted(tell)
    queries = await score(client, labelled, concurrency=_IN_FLIGHT, on_answer=counted.hear, options=options)
    model = counted.model or await client.model_info()
    again = await _again(client, labelled, set(timed), options, tell, processes, OneModel(model)) if timed else None
    return ModelScores(
        name,
        model,
        tuple(queries),
        counted.pairs,
        counted.truncated,
        counted.cached,
        again,
    )


async def _again(
    client: AsyncRerankClient,
    labelled: LabelledSet,
    timed: set[str],
    options: Mapping[str, Any],
    tell: Callable[[], object],
    processes: int,
    one_model: OneModel,
) -> Again:
    logits: dict[str, tuple[float, ...]] = {}
    latencies_ms: list[float] = []
    # A tenant of its own has an empty cache.
    fresh = {**options, "cache_scope": "tenant", "tenant": f"evaluate-{uuid.uuid4().hex[:12]}"}
    for query in labelled.queries:
        if query.id not in timed:
            continue
        logits[query.id] = ()
        if query.candidates:
            started = time.perf_counter()
            response = await answer(client, query, fresh)
            latencies_ms.append((time.perf_counter() - started) * 1000)
            one_model.check(response.model)
            logits[query.id] = logits_of(response)
        tell()
    return Again(logits, tuple(latencies_ms), processes, host=caller_host())


def caller_host() -> str:
    """Return what the machine is that asks."""
    return f"{cpu_name()}, {len(affinity())} cores"


async def answer(client: AsyncRerankClient, query: LabelledQuery, options: Mapping[str, Any]) -> RerankResponse:
    """Return the whole answer to an interactive request that has time enough. Raises as the client does."""
    return await client.rerank(
        query.query, query.candidates, fusion="none", partial=False, **{"deadline_ms": _DEADLINE_MS, **options}
    )
