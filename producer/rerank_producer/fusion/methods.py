"""Methods of fusion: an order of documents by the model's logit and the first stage's score together. Pure.

`weighted` and `zscore` give a document the fused score

    logit + weight * ratio * (first-stage score - its mean in the request)

where `ratio` brings first-stage scores to the scale of logits. For `zscore` it is the ratio of the two standard
deviations within the request, which orders documents as the weighted sum of their z-scores does (Montague and Aslam,
CIKM 2001). For `weighted` it is the ratio of the mean deviations over many requests, or a given one. `rrf` gives a
document

    1 / (60 + its rank by logit) + weight / (60 + its rank by first-stage score)

where equal values share the better rank (Cormack, Clarke, Büttcher, SIGIR 2009).

Ties go to the better first-stage score, then to the better logit, then to the order of the request. At weight 0 the
order is the model's; at infinite weight it is the first stage's, and there ties go to the better logit. A document
without first-stage score counts as the worst that has one. Documents without logit stand behind all others, by
first-stage score.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

from rerank_producer.fusion.deviation import deviation, in_units, mean
from rerank_producer.fusion.lists import K
from rerank_shared.contract.messages import Deviations, Fusion
from rerank_shared.deviations import joined
from rerank_shared.keys import FusionMethod

#: Weight times ratio beyond which logits no longer show in a sum, and sums of the largest scores would not fit a float.
_MOST = 1e150


@dataclass(frozen=True, slots=True)
class FusedOrder:
    """The order of a request's documents, and how it came about.

    `scores` are fused scores by index, None where a document has no logit. `order` are the indexes, best first.
    `applied` is the method that was carried out, `ratio` the ratio in force, None for `rrf`. `deviations` are those of
    this request, to learn from; None where a logit or a score is missing, all are equal, or nothing is learned.
    """

    scores: Sequence[float | None]
    order: list[int]
    applied: FusionMethod
    ratio: float | None
    deviations: Deviations | None


@dataclass(frozen=True, slots=True)
class _FirstStage:
    """First-stage scores of the documents that have a logit, in `unit`s, larger is better."""

    scores: Sequence[float]
    mean: float
    deviation: float
    unit: float

    @classmethod
    def of(cls, goodness: Sequence[float]) -> Self:
        """Return them in units in which they can be squared."""
        scores, unit = in_units(goodness)
        middle = mean(scores)
        return cls(scores, middle, deviation(scores, middle), unit)


def fused_order(logits: Sequence[float | None], fusion: Fusion) -> FusedOrder:
    """Return the order of documents, of which `logits` has one each, None for those that were not scored in time."""
    goodness = _goodness(fusion, len(logits))
    if None in logits:
        return _partial(logits, goodness, fusion)
    known = cast("Sequence[float]", logits)
    first, spread = _FirstStage.of(goodness), deviation(known)
    applied, ratio, fused = _fused(known, first, spread, fusion)
    order = _sorted(fused, known, first.scores, fusion.weight)
    return FusedOrder(fused, order, applied, ratio, _lesson(spread, first, fusion))


def mean_deviations(requests: Iterable[tuple[Sequence[float | None], Fusion]]) -> Deviations | None:
    """Return what `weighted` learns from some requests, each as its logits and its fusion; None where it is nothing."""
    known: Deviations | None = None
    for logits, fusion in requests:
        if (lesson := fused_order(logits, replace(fusion, learned_requests=0)).deviations) is not None:
            known = joined(known, lesson)
    return known


def _partial(logits: Sequence[float | None], goodness: Sequence[float], fusion: Fusion) -> FusedOrder:
    """Return the order where some documents have no logit: those that have one are fused among themselves."""
    scored = [index for index, logit in enumerate(logits) if logit is not None]
    known = [logit for logit in logits if logit is not None]
    first = _FirstStage.of([goodness[index] for index in scored])
    applied, ratio, fused = _fused(known, first, deviation(known), fusion)
    order = [scored[place] for place in _sorted(fused, known, first.scores, fusion.weight)]
    scores: list[float | None] = [None] * len(logits)
    for index, score in zip(scored, fused, strict=True):
        scores[index] = score
    unscored = sorted((-good, index) for index, good in enumerate(goodness) if logits[index] is None)
    return FusedOrder(scores, order + [index for _, index in unscored], applied, ratio, None)


def _goodness(fusion: Fusion, count: int) -> Sequence[float]:
    """Return the first-stage score of each document as a number of which larger is better."""
    scores = fusion.scores or [-float(place) for place in range(count)]
    if None in scores:
        given = [score for score in scores if score is not None]
        worst = max(given) if fusion.order == "ascending" else min(given)
        scores = [worst if score is None else score for score in scores]
    known = cast("Sequence[float]", scores)
    return [-score for score in known] if fusion.scores and fusion.order == "ascending" else known


def _fused(
    logits: Sequence[float], first: _FirstStage, spread: float, fusion: Fusion
) -> tuple[FusionMethod, float | None, list[float]]:
    """Return the method that was applied, its ratio, and the fused score of each document that has a logit.

    `spread` is the deviation of the logits.
    """
    if fusion.method == "rrf":
        ranks = zip(_ranks(logits), _ranks(first.scores), strict=True)
        of_model, of_first = (0.0, 1.0) if math.isinf(fusion.weight) else (1.0, fusion.weight)
        return "rrf", None, [of_model / (K + by_logit) + of_first / (K + by_first) for by_logit, by_first in ranks]
    applied: FusionMethod = "zscore"
    scaled = spread / first.deviation if first.deviation else 0.0
    ratio = min(scaled / first.unit, sys.float_info.max)
    if fusion.method == "weighted" and fusion.ratio is not None:
        applied, ratio, scaled = "weighted", fusion.ratio, fusion.ratio * first.unit
    gain = fusion.weight * scaled if fusion.weight and scaled else 0.0
    if gain > _MOST:
        scaled = scaled if 0.0 < scaled < _MOST else 1.0
        return applied, ratio, [scaled * (score - first.mean) for score in first.scores]
    middle = first.mean
    fused = [logit + gain * (score - middle) for logit, score in zip(logits, first.scores, strict=True)]
    return applied, ratio, fused


def _ranks(values: Sequence[float]) -> list[int]:
    """Return ranks from 1, the largest value first; equal values share the better rank."""
    # Of equal values the last one, whose rank is the best, stays in the dictionary.
    best = dict(zip(sorted(values), range(len(values), 0, -1), strict=True))
    return [best[value] for value in values]


def _sorted(fused: Sequence[float], logits: Sequence[float], first: Sequence[float], weight: float) -> list[int]:
    """Return the places of the documents, best first."""
    places = range(len(fused))
    # Sorting is stable in both directions, so that equal documents keep the order of the request.
    if weight == 0.0:
        return sorted(places, key=logits.__getitem__, reverse=True)
    if math.isinf(weight):
        return sorted(places, key=lambda place: (first[place], logits[place]), reverse=True)
    if len(set(fused)) == len(fused):
        return sorted(places, key=fused.__getitem__, reverse=True)
    return sorted(places, key=lambda place: (fused[place], first[place], logits[place]), reverse=True)


def _lesson(spread: float, first: _FirstStage, fusion: Fusion) -> Deviations | None:
    """Return what a request teaches of the ratio; None unless its ratio is learned."""
    first_deviation = first.deviation * first.unit
    if fusion.learned_requests is None or None in fusion.scores or not (spread and first_deviation):
        return None
    return Deviations(1, spread, first_deviation)
