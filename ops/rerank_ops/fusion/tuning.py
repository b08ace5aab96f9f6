"""Tuning: which fusion suits a labelled set, what it gains there, and whether that is more than chance. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rerank_ops.fusion.choice import HeldOut, Rows, best, cross_validated, folds_of
from rerank_ops.fusion.sweep import FIRST_STAGE, METHODS, MODEL, VARIANTS, ScoredQuery, Sweep, Variant, sweep
from rerank_ops.judging.bootstrap import Interval, paired_difference
from rerank_ops.judging.measures import Quality

#: Fewer queries are too few whatever their interval says: it is too narrow for them.
FEWEST_QUERIES = 20
#: `helps`: better than the better one of model and first stage. `undecided`: the set is too small to tell.
Verdict = Literal["helps", "undecided", "model alone", "first stage alone"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice among variants. `best` is the one for all queries, `chosen` the one of each fold.

    `quality` is held out: each query's variant was chosen without it. So are the differences to either stage alone.
    """

    best: Variant
    chosen: tuple[Variant, ...]
    quality: Quality
    over_model: Interval
    over_first_stage: Interval


@dataclass(frozen=True, slots=True)
class Tuning:
    """The qualities of model and first stage alone, and choices: of a weight for each method, and `overall` of both."""

    queries: int
    folds: int
    seed: int
    ratio: float | None
    model: Quality
    first_stage: Quality
    methods: Mapping[str, Chosen]
    overall: Chosen

    @property
    def gain(self) -> Interval:
        """The held-out gain of the overall choice over the better stage, in nDCG@10."""
        return self.overall.over_model if self.model_is_better else self.overall.over_first_stage

    @property
    def model_is_better(self) -> bool:
        """Whether the model alone orders no worse than the first stage alone."""
        return self.model.ndcg_at_10 >= self.first_stage.ndcg_at_10

    @property
    def verdict(self) -> Verdict:
        """What this says of fusion on these queries."""
        alone: Verdict = "model alone" if self.model_is_better else "first stage alone"
        if self.overall.best.alone or self.gain.high < 0:
            return alone
        if self.queries < FEWEST_QUERIES or self.gain.spans_zero:
            return "undecided"
        return "helps"


def tune(
    queries: Sequence[ScoredQuery], qrels: Mapping[str, Mapping[str, int]], *, folds: int = 5, seed: int = 0
) -> Tuning:
    """Return what fusion gains on judged queries. Raises ConfigurationError where there are fewer than folds."""
    parts = folds_of(len(queries), folds, seed)
    swept = sweep(queries, qrels)
    return Tuning(
        queries=len(queries),
        folds=folds,
        seed=seed,
        ratio=swept.ratio,
        model=swept.quality(MODEL),
        first_stage=swept.quality(FIRST_STAGE),
        methods={
            method: choose(swept, [each for each in VARIANTS if each.method == method], parts, seed)
            for method in METHODS
        },
        overall=choose(swept, VARIANTS, parts, seed),
    )


def choose(swept: Sweep, variants: Sequence[Variant], folds: Sequence[Rows], seed: int) -> Chosen:
    """Return the choice among some variants, held out and compared with either stage alone."""
    held_out: HeldOut = cross_validated(swept, variants, folds)
    return Chosen(
        best=best(swept, variants),
        chosen=held_out.chosen,
        quality=held_out.quality,
        over_model=paired_difference(held_out.ndcg, swept.ndcg[MODEL], seed),
        over_first_stage=paired_difference(held_out.ndcg, swept.ndcg[FIRST_STAGE], seed),
    )
