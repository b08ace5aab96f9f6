"""Timing of a fleet by one caller who asks one request after the other, with no score from the cache.

Every query is asked at each length and k before the next one is, in an order of its own, so that whatever else the
machine does meanwhile falls on all cells alike. Logits have to be those of before, to the bit.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rerank_ops.choose.latency import Cell
from rerank_ops.evaluate.scoring import answer
from rerank_ops.fusion.labelled import LabelledQuery
from rerank_ops.fusion.scoring import logits_of
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_producer import AsyncRerankClient

#: Scores by length, and by the query's id.
Known = Mapping[int, Mapping[str, ScoredQuery]]


@dataclass(slots=True)
class Timed:
    """What was timed: milliseconds by cell and query, requests, those before which others had work, largest difference
    of a logit."""

    cells: dict[Cell, dict[str, float]] = field(default_factory=dict)
    asked: int = 0
    busy: int = 0
    unequal: float = 0.0


async def timed(
    client: AsyncRerankClient,
    queries: Sequence[LabelledQuery],
    cells: Sequence[Cell],
    known: Known,
    *,
    is_busy: Callable[[], bool],
    tell: Callable[[], object],
    seed: int,
) -> Timed:
    """Ask all queries that have candidates at each cell. `tell` is called for each. Raises as the client does."""
    order, found = random.Random(seed), Timed()
    run = uuid.uuid4().hex[:12]
    for query in queries:
        if not query.candidates:
            continue
        for cell in order.sample(cells, len(cells)):
            max_length, k = cell
            few = replace(query, candidates=query.candidates[:k])
            # A tenant of its own has an empty cache, and so has each cell.
            tenant = f"choose-{run}-{max_length}-{k}"
            found.busy += is_busy()
            started = time.perf_counter()
            response = await answer(client, few, {"max_length": max_length, "cache_scope": "tenant", "tenant": tenant})
            found.cells.setdefault(cell, {})[query.id] = (time.perf_counter() - started) * 1000
            found.asked += 1
            before = known[max_length][query.id].logits[:k]
            differences = (abs(a - b) for a, b in zip(logits_of(response), before, strict=True))
            found.unequal = max(found.unequal, *differences)
            tell()
    return found
