"""Sweep: the quality of a labelled set's queries under every method of fusion and weight. Pure.

The orders come from the code that answers requests. `weighted` gets the ratio that it would learn from these queries.
That comes from scores alone, so that no judgement reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rerank_ops.judging.bootstrap import Values
from rerank_ops.judging.measures import Quality, quality_by_question
from rerank_producer.fusion.methods import fused_order, mean_deviations
from rerank_shared.contract.messages import Deviations, Fusion
from rerank_shared.keys import FirstStageOrder, FusionMethod


@dataclass(frozen=True, slots=True)
class ScoredQuery:
    """A query's candidates in first-stage order: ids, logits and first-stage scores, one a document.

    `tokens` are those that the model read of each pair, and `cut` whether text of it was cut to fit.
    """

    id: str
    documents: tuple[str, ...]
    logits: tuple[float, ...]
    scores: tuple[float | None, ...]
    order: FirstStageOrder = "descending"
    tokens: tuple[int, ...] = ()
    cut: tuple[bool, ...] = ()

    def part(self, places: Sequence[int]) -> ScoredQuery:
        """Return the query with some of its candidates, in this order; places beyond the last are left out."""
        here = [place for place in places if place < len(self.documents)]
        return replace(
            self,
            documents=tuple(self.documents[place] for place in here),
            logits=tuple(self.logits[place] for place in here),
            scores=tuple(self.scores[place] for place in here),
            tokens=tuple(self.tokens[place] for place in here) if self.tokens else (),
            cut=tuple(self.cut[place] for place in here) if self.cut else (),
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """A method of fusion at one weight: 0 is the model alone, infinity the first stage alone."""

    method: FusionMethod
    weight: float

    @property
    def alone(self) -> bool:
        """Whether one stage alone gives the order, so that the method makes no difference."""
        return self.weight in (0.0, math.inf)


METHODS: tuple[FusionMethod, ...] = ("weighted", "zscore", "rrf")
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, math.inf)
#: By method, and by rising weight within each.
VARIANTS = tuple(Variant(method, weight) for method in METHODS for weight in WEIGHTS)
MODEL, FIRST_STAGE = Variant("weighted", 0.0), Variant("weighted", math.inf)


@dataclass(frozen=True, slots=True)
class Sweep:
    """nDCG@10 and RR@10 of each variant, one value a query. `ratio` is that of `weighted`, None where none is found."""

    queries: tuple[str, ...]
    ratio: float | None
    ndcg: Mapping[Variant, Values]
    rr: Mapping[Variant, Values]

    def quality(self, variant: Variant) -> Quality:
        """Return the means of a variant over all queries."""
        return Quality(float(self.ndcg[variant].mean()), float(self.rr[variant].mean()))


def sweep(
    queries: Sequence[ScoredQuery],
    qrels: Mapping[str, Mapping[str, int]],
    variants: Sequence[Variant] = VARIANTS,
) -> Sweep:
    """Return the quality of every query under every variant; `qrels` judges each query."""
    names = tuple(query.id for query in queries)
    judged = {name: qrels[name] for name in names}
    known = deviations_of(queries)
    ratio = None if known is None else known.ratio
    measured: dict[Variant, dict[str, Quality]] = {}
    for variant in variants:
        same = Variant(MODEL.method, variant.weight) if variant.alone else variant
        if same not in measured:
            run = {query.id: ranking(query, same, ratio) for query in queries}
            measured[same] = quality_by_question(run, judged)
        measured[variant] = measured[same]
    return Sweep(
        queries=names,
        ratio=ratio,
        ndcg={each: np.array([measured[each][name].ndcg_at_10 for name in names]) for each in variants},
        rr={each: np.array([measured[each][name].mrr_at_10 for name in names]) for each in variants},
    )


def ranking(query: ScoredQuery, variant: Variant, ratio: float | None) -> list[str]:
    """Return a query's document ids, best first."""
    return [query.documents[place] for place in order_of(query, variant, ratio)]


def order_of(query: ScoredQuery, variant: Variant, ratio: float | None) -> list[int]:
    """Return the places of a query's documents, best first."""
    return fused_order(query.logits, _fusion(query, variant, ratio)).order


def deviations_of(queries: Sequence[ScoredQuery]) -> Deviations | None:
    """Return the mean deviations that `weighted` would learn from these queries; None where it learns nothing."""
    return mean_deviations((query.logits, _fusion(query, MODEL, None)) for query in queries if query.documents)


def _fusion(query: ScoredQuery, variant: Variant, ratio: float | None) -> Fusion:
    return Fusion(
        method=variant.method,
        weight=variant.weight,
        scores=query.scores,
        order=query.order,
        ratio=ratio if variant.method == "weighted" else None,
    )
