"""Quality of each method and weight on labelled collections, each alone and all queries pooled. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rerank_ops.fusion.sweep import FIRST_STAGE, METHODS, MODEL, ScoredQuery, Sweep, Variant, deviations_of, sweep
from rerank_ops.judging.significance import holm, t_p
from rerank_shared.deviations import TRUSTED_REQUESTS

WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
FUSED = tuple(Variant(method, weight) for method in METHODS for weight in WEIGHTS)
#: Weights among which the best in hindsight is looked for, eight an octave from 1/8 to 16.
HINDSIGHT = tuple(Variant("weighted", 2 ** (step / 8)) for step in range(-24, 33))


@dataclass(frozen=True, slots=True)
class Row:
    """Means of one variant; p values against either stage alone are corrected over the rows of a table."""

    variant: Variant
    ndcg_at_10: float
    rr_at_10: float
    p_first_stage: float
    p_model: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The learned ratio, the one after as many requests as are trusted, and the best weight in hindsight.

    `spread` is the standard deviation of the requests' own first-stage deviations, over their mean.
    """

    learned: float
    first_trusted: float
    spread: float
    best_weight: float
    best_ndcg_at_10: float


@dataclass(frozen=True, slots=True)
class Table:
    """One collection's figures, or those of all queries pooled, which have no ratio of their own."""

    name: str
    queries: int
    first_stage: tuple[float, float]
    model: tuple[float, float]
    rows: tuple[Row, ...]
    ratio: Ratio | None


def table(name: str, queries: Sequence[ScoredQuery], qrels: Mapping[str, Mapping[str, int]]) -> tuple[Table, Sweep]:
    """Return the figures of one collection, and the sweep that they come from."""
    swept = sweep(queries, qrels, (MODEL, FIRST_STAGE, *FUSED, *HINDSIGHT))
    return _table(name, swept, _ratio(queries, swept)), swept


def pooled(sweeps: Sequence[Sweep]) -> Table:
    """Return the figures over the queries of all collections; each was fused by its own ratio."""
    variants = (MODEL, FIRST_STAGE, *FUSED)
    joined = Sweep(
        queries=tuple(name for each in sweeps for name in each.queries),
        ratio=None,
        ndcg={variant: np.concatenate([each.ndcg[variant] for each in sweeps]) for variant in variants},
        rr={variant: np.concatenate([each.rr[variant] for each in sweeps]) for variant in variants},
    )
    return _table("all queries", joined, None)


def _table(name: str, swept: Sweep, ratio: Ratio | None) -> Table:
    against = [[t_p(swept.ndcg[each], swept.ndcg[alone]) for each in FUSED] for alone in (FIRST_STAGE, MODEL)]
    # One family: every comparison of the table.
    corrected = holm([*against[0], *against[1]])
    rows = []
    for place, variant in enumerate(FUSED):
        quality = swept.quality(variant)
        of_first, of_model = corrected[place], corrected[len(FUSED) + place]
        rows.append(Row(variant, quality.ndcg_at_10, quality.mrr_at_10, of_first, of_model))
    first, model = swept.quality(FIRST_STAGE), swept.quality(MODEL)
    return Table(
        name,
        len(swept.queries),
        (first.ndcg_at_10, first.mrr_at_10),
        (model.ndcg_at_10, model.mrr_at_10),
        tuple(rows),
        ratio,
    )


def _ratio(queries: Sequence[ScoredQuery], swept: Sweep) -> Ratio | None:
    early, each = deviations_of(queries[:TRUSTED_REQUESTS]), [deviations_of([query]) for query in queries]
    own = [found.first_stage for found in each if found is not None]
    if swept.ratio is None or early is None:
        return None
    best = max(HINDSIGHT, key=lambda variant: float(swept.ndcg[variant].mean()))
    return Ratio(
        learned=swept.ratio,
        first_trusted=early.ratio,
        spread=float(np.std(own) / np.mean(own)),
        best_weight=best.weight,
        best_ndcg_at_10=float(swept.ndcg[best].mean()),
    )
