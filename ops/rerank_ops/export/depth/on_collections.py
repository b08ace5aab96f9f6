"""A model at every depth on a labelled collection, each alone and fused with the first stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rerank_ops.export.depth.head import Floats
from rerank_ops.fusion.sweep import FIRST_STAGE, MODEL, ScoredQuery, Variant, sweep
from rerank_ops.quality.collection import Collection, Task
from rerank_ops.quality.invariance import TextPair
from rerank_shared.models.manifest import DepthQuality, ShortenedCollection

#: Returns the logits of texts by the layers that are kept, each [pairs]; all layers are the whole model.
ScoreEveryDepth = Callable[[Sequence[TextPair]], Mapping[int, Floats]]
#: First-stage scores count as much as the model's.
FUSED = Variant("weighted", 1.0)


def on_collection(collection: Collection, layers: int, score: ScoreEveryDepth) -> ShortenedCollection:
    """Return the mean nDCG@10 of each depth, to all `layers`, over the queries of a collection, in the same candidates.

    A query without candidates counts as 0.
    """
    scored: dict[int, list[ScoredQuery]] = {depth: [] for depth in range(1, layers + 1)}
    for task in collection.tasks:
        texts = [(task.query, candidate.text) for candidate in task.candidates]
        logits = score(texts) if texts else {}
        for depth, queries in scored.items():
            queries.append(_scored(task, logits[depth].tolist() if texts else ()))
    variants = (MODEL, FUSED, FIRST_STAGE)
    swept = {depth: sweep(queries, collection.qrels, variants) for depth, queries in scored.items()}
    return ShortenedCollection(
        name=collection.name,
        queries=len(collection.tasks),
        ndcg_10_first=swept[layers].quality(FIRST_STAGE).ndcg_at_10,
        by_depth={
            depth: DepthQuality(ndcg_10=found.quality(MODEL).ndcg_at_10, ndcg_10_fused=found.quality(FUSED).ndcg_at_10)
            for depth, found in swept.items()
        },
    )


def _scored(task: Task, logits: Sequence[float]) -> ScoredQuery:
    return ScoredQuery(
        task.query_id,
        tuple(candidate.id for candidate in task.candidates),
        tuple(logits),
        tuple(candidate.bm25 for candidate in task.candidates),
    )
