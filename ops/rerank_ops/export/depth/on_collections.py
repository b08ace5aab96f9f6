"""A shortened model beside the whole one on a labelled collection, each alone and fused with the first stage."""

from __future__ import annotations

from rerank_ops.fusion.sweep import MODEL, ScoredQuery, Variant, sweep
from rerank_ops.quality.collection import Collection
from rerank_ops.quality.invariance import Scorer
from rerank_shared.models.manifest import ShortenedCollection

#: First-stage scores count as much as the model's.
FUSED = Variant("weighted", 1.0)


def on_collection(collection: Collection, short: Scorer, whole: Scorer) -> ShortenedCollection:
    """Return the mean nDCG@10 of both models over the queries of a collection, in the same candidates."""
    of_short, of_whole = (_ndcg(collection, scorer) for scorer in (short, whole))
    return ShortenedCollection(
        name=collection.name,
        queries=len(collection.tasks),
        ndcg_10=of_short[0],
        ndcg_10_fused=of_short[1],
        ndcg_10_whole=of_whole[0],
        ndcg_10_whole_fused=of_whole[1],
    )


def _ndcg(collection: Collection, scorer: Scorer) -> tuple[float, float]:
    """Return nDCG@10 by a model's logits, and by those fused with BM25's scores."""
    queries = []
    for task in collection.tasks:
        texts = [(task.query, candidate.text) for candidate in task.candidates]
        logits = tuple(float(logit) for logit in scorer(texts)) if texts else ()
        ids = tuple(candidate.id for candidate in task.candidates)
        scores = tuple(candidate.bm25 for candidate in task.candidates)
        queries.append(ScoredQuery(task.query_id, ids, logits, scores))
    swept = sweep(queries, collection.qrels, (MODEL, FUSED))
    return swept.quality(MODEL).ndcg_at_10, swept.quality(FUSED).ndcg_at_10
