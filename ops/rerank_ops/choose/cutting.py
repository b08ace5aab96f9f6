"""Cutting: what an order of fewer candidates, or of another weight, is worth, by scores that are there. Pure.

A pair's score depends on that pair alone, so that the scores of the largest k hold those of every smaller one. What a
caller does not send to the fleet follows in first-stage order, as it would on the caller's page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rerank_ops.evaluate.comparison import measured
from rerank_ops.evaluate.systems import Run, System
from rerank_ops.fusion.sweep import MODEL, ScoredQuery, Variant, deviations_of, ranking
from rerank_ops.judging.bootstrap import Values
from rerank_shared.keys import FusionMethod


def first(query: ScoredQuery, k: int) -> ScoredQuery:
    """Return a query with its first `k` candidates alone."""
    return query.part(range(k))


def runs_of(queries: Sequence[ScoredQuery], k: int, weights: Iterable[float], method: FusionMethod) -> Iterator[Run]:
    """Yield for each weight the order of every query's documents, of which the first `k` are reranked.

    `weighted` gets the ratio that a fleet learns from requests of that k.
    """
    few = [first(query, k) for query in queries]
    known = deviations_of(few)
    ratio = None if known is None else known.ratio
    for weight in weights:
        variant = Variant(method, weight) if weight and method != "none" else MODEL
        yield {
            query.id: (*ranking(kept, variant, ratio), *query.documents[k:])
            for query, kept in zip(queries, few, strict=True)
        }


def values_of(
    queries: Sequence[ScoredQuery], run: Run, qrels: Mapping[str, Mapping[str, int]], measures: Sequence[Any]
) -> Mapping[str, Values]:
    """Return the values of a run by measure, one a query. Raises ConfigurationError."""
    system = System("cut", "fused", run, tuple(query.id for query in queries))
    return measured(system, qrels, measures).values
