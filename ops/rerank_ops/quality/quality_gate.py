"""Quality gate: compares an exported model with fp32 of the same weights, on frozen pairs and labelled collections.

It measures, and judges by the same rules as workers do. The caller decides the consequence of a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rerank_ops.judging.measures import measure as measure_ranking
from rerank_ops.quality.agreement import Agreement, Scores, agreement, same_bits
from rerank_ops.quality.collection import Collection
from rerank_ops.quality.invariance import ScoreTexts, TextPair, is_invariant
from rerank_ops.quality.pairs import frozen_pairs
from rerank_shared.errors import InternalError
from rerank_shared.models.exported import broken_bounds
from rerank_shared.models.manifest import Bounds, CollectionQuality, Quality
from rerank_shared.models.precision import PRECISION, LayoutName, PrecisionName


def measure(
    score_in: Mapping[LayoutName, ScoreTexts],
    reference: ScoreTexts,
    precision: PrecisionName,
    *,
    bounds: Bounds | None = None,
    collections: Sequence[Collection] = (),
    pairs: Sequence[TextPair] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Quality:
    """Return the quality report of a model whose layouts score by `score_in`, against fp32 of its weights.

    The figures over the pairs are those of the worst layout. Ranking collections in each layout would cost too much:
    layout unpadded ranks them, or the first layout without it. Layouts in which a score depends on its pair alone share
    the name of a score, so each counts as invariant only if its bits are those of the first of them. `tell` is called
    with each step. Raises InternalError for scores of a wrong shape.
    """
    bounds = bounds or Bounds()
    texts = [(pair.query, pair.document) for pair in frozen_pairs()] if pairs is None else list(pairs)
    tell(f"fp32 scores {len(texts)} pairs")
    expected = _scores(reference, texts)
    found: dict[LayoutName, Agreement] = {}
    invariance: dict[LayoutName, bool] = {}
    shared: Scores | None = None
    for layout, score in score_in.items():
        tell(f"{precision} in layout {layout} scores {len(texts)} pairs")
        scores = _scores(score, texts)
        found[layout] = agreement(scores, expected)
        tell(f"{precision} in layout {layout} scores some of them in other orders and company")
        invariance[layout] = is_invariant(score, texts)
        if layout in PRECISION[precision].invariant_layouts:
            shared = scores if shared is None else shared
            invariance[layout] &= same_bits(scores, shared)
    main = score_in.get("unpadded") or next(iter(score_in.values()))
    quality = Quality(
        pairs=len(texts),
        spearman=min(each.spearman for each in found.values()),
        rmse=max(each.rmse for each in found.values()),
        max_difference=max(each.max_difference for each in found.values()),
        invariance=invariance,
        collections=tuple(_on_collection(each, main, reference, tell) for each in collections),
        bounds=bounds,
    )
    unusable = [
        f"{each.unusable} of {len(texts)} scores in layout {layout} or of fp32 are no finite numbers"
        for layout, each in found.items()
        if each.unusable
    ]
    failures = (*unusable, *broken_bounds(quality, precision, score_in, bounds))
    return quality.model_copy(update={"failures": failures})


def _on_collection(
    collection: Collection, score: ScoreTexts, reference: ScoreTexts, tell: Callable[[str], None]
) -> CollectionQuality:
    tell(f"ranking {len(collection.tasks)} queries of {collection.name}")
    ours: dict[str, list[str]] = {}
    theirs: dict[str, list[str]] = {}
    scores: list[tuple[Scores, Scores]] = []
    for task in collection.tasks:
        texts = [(task.query, candidate.text) for candidate in task.candidates]
        ids = [candidate.id for candidate in task.candidates]
        if texts:
            scores.append((_scores(score, texts), _scores(reference, texts)))
            ours[task.query_id], theirs[task.query_id] = (_ranked(ids, each) for each in scores[-1])
    first = {task.query_id: [candidate.id for candidate in task.candidates] for task in collection.tasks}
    exported, fp32, bm25 = (measure_ranking(run, collection.qrels) for run in (ours, theirs, first))
    return CollectionQuality(
        name=collection.name,
        queries=len(collection.tasks),
        ndcg_10=exported.ndcg_at_10,
        ndcg_10_fp32=fp32.ndcg_at_10,
        mrr_10=exported.mrr_at_10,
        mrr_10_fp32=fp32.mrr_at_10,
        ndcg_10_first=bm25.ndcg_at_10,
        spearman=_spearman(scores),
    )


def _spearman(scores: Sequence[tuple[Scores, Scores]]) -> float:
    """Return the rank correlation over the pairs of all queries, 1 where there is none."""
    if not scores:
        return 1.0
    ours, theirs = (np.concatenate(each) for each in zip(*scores, strict=True))
    return agreement(ours, theirs).spearman


def _ranked(ids: Sequence[str], scores: Scores) -> list[str]:
    """Return the ids by score, best first; ties keep the order of the first stage, and NaN comes last."""
    return [ids[place] for place in np.argsort(-scores, kind="stable")]


def _scores(score: ScoreTexts, texts: Sequence[TextPair]) -> Scores:
    scores = np.asarray(score(texts), dtype=np.float32)
    if scores.shape != (len(texts),):
        raise InternalError(f"a model gave {scores.shape} for {len(texts)} pairs")
    return scores
