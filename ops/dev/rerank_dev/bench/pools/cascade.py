"""A cascade against the big model alone and the small one alone, all with fusion: candidates a second, and nDCG@10.

All three rank the same queries in turns, each with an empty cache. Method "zscore" learns nothing, so that no variant
depends on what went before it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_dev.bench.pools.place import Place, told
from rerank_dev.bench.pools.workers import Workers
from rerank_dev.bench.record import Figure
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet, from_collection
from rerank_ops.judging.measures import ndcg_by_question
from rerank_producer import AsyncRerankClient
from rerank_shared.cache import clear
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings

IN_FLIGHT, KEEP = 6, 10
_DEADLINE_MS = 600_000.0


@dataclass(slots=True)
class _Variant:
    """One way to rank: options of its requests, and what it found. `run` has ids of documents, best first, by query."""

    name: str
    options: Mapping[str, Any]
    per_s: list[float] = field(default_factory=list)
    run: dict[str, list[str]] = field(default_factory=dict)

    def ndcg(self, qrels: Mapping[str, Mapping[str, int]]) -> float:
        """Return the mean nDCG@10."""
        found = ndcg_by_question(self.run, qrels)
        return sum(found.values()) / len(found)


def cascade(place: Place) -> list[Figure]:
    """Return candidates a second and nDCG@10 of the three, for each collection.

    Returns nothing, and says so, where no collection is given.
    """
    if not place.data:
        print('cascade: not measured, for want of a collection: DATA="DIR..." in the layout of BEIR', file=sys.stderr)
        return []
    settings = place.settings("cascade", models=(place.small, place.big))
    figures = []
    with Workers(settings, place.work) as workers:
        workers.start(place.scale.processes)
        for directory in place.data:
            labelled = from_collection(directory, place.scale.queries)
            figures += _figures(place, labelled, _measured(place, settings, labelled))
    return figures


def _measured(place: Place, settings: Settings, labelled: LabelledSet) -> list[_Variant]:
    stages = [{"model": place.small}, {"model": place.big, "keep": KEEP}]
    variants = [
        _Variant("big", {"model": place.big}),
        _Variant("small", {"model": place.small}),
        _Variant("cascade", {"stages": stages}),
    ]
    rounds = max(1, min(place.scale.rounds, len(labelled.queries)))
    asyncio.run(_ranked(settings, _Variant("warm", {"stages": stages}), labelled.queries[:1]))
    for number in range(rounds):
        for variant in variants:
            with connect(settings) as client:
                clear(client, Keys(settings.namespace))
            asyncio.run(_ranked(settings, variant, labelled.queries[number::rounds]))
    return variants


async def _ranked(settings: Settings, variant: _Variant, queries: Sequence[LabelledQuery]) -> None:
    """Rank queries and note their orders, and the candidates a second."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def rank(client: AsyncRerankClient, query: LabelledQuery) -> None:
        async with slots:
            response = await client.rerank(
                query.query,
                query.candidates,
                fusion="zscore",
                first_stage="bm25",
                deadline_ms=_DEADLINE_MS,
                partial=False,
                **variant.options,
            )
        ids = [document.id or "" for document in query.candidates]
        variant.run[query.id] = [ids[result.index] for result in response.results]

    async with AsyncRerankClient(settings) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(rank(client, query) for query in queries))
    variant.per_s.append(sum(len(query.candidates) for query in queries) / (time.perf_counter() - begun))


def _figures(place: Place, labelled: LabelledSet, variants: Sequence[_Variant]) -> list[Figure]:
    big, small, both = variants
    says = {
        "big": told(place.big),
        "small": f"{told(place.small)} with fusion",
        "cascade": f"cascade to the best {KEEP}",
    }
    at = f"cascade, {labelled.name}, {len(labelled.queries)} queries"
    quality = {each.name: each.ndcg(labelled.qrels) for each in variants}
    return [
        *(Figure.of(f"{at}: pairs/s over {says[other.name]}", _ratios(both, other), "ratio") for other in (big, small)),
        *(
            Figure.of(
                f"{at}: nDCG@10 less that of {says[other.name]}", [quality["cascade"] - quality[other.name]], "nDCG"
            )
            for other in (big, small)
        ),
        *(Figure.of(f"{at}: {says[each.name]}", each.per_s, "pairs/s") for each in variants),
        *(Figure.of(f"{at}: {says[each.name]}, nDCG@10", [quality[each.name]], "nDCG") for each in variants),
    ]


def _ratios(one: _Variant, other: _Variant) -> list[float]:
    return [mine / theirs for mine, theirs in zip(one.per_s, other.per_s, strict=True)]
