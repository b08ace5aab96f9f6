"""Every depth on a labelled collection: which order it gives alone, and with the first stage's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rerank_ops.demo.first_stage import Bm25Hit
from rerank_ops.export.depth.head import Floats
from rerank_ops.export.depth.on_collections import on_collection
from rerank_ops.quality.collection import Collection, Task
from rerank_ops.quality.invariance import TextPair

#: By depth, the logits of documents: the first depth likes them the wrong way round, the whole model the right one.
LIKED = {1: {"right": -1.0, "near": 0.0, "wrong": 1.0}, 2: {"right": 3.0, "near": 0.0, "wrong": -3.0}}
#: What nDCG@10 is where the only relevant document stands second or third.
SECOND, THIRD = 1 / np.log2(3), 1 / np.log2(4)


def score(texts: Sequence[TextPair]) -> Mapping[int, Floats]:
    assert texts
    return {depth: np.array([liked[text] for _, text in texts], np.float32) for depth, liked in LIKED.items()}


def task(name: str, scores: Mapping[str, float]) -> Task:
    hits = sorted(scores, key=lambda text: -scores[text])
    return Task(name, f"query {name}", tuple(Bm25Hit(f"d-{text}", text, scores[text]) for text in hits))


def collection(*tasks: Task) -> Collection:
    return Collection("tiny", tasks, {each.query_id: {"d-right": 1} for each in tasks})


def test_depths_differ_alone_and_first_stage_scores_mend_the_order() -> None:
    """BM25 sets what is right far apart from the others, and the first depth likes it least."""
    found = on_collection(collection(task("q1", {"right": 9.0, "near": 2.0, "wrong": 1.0})), 2, score)
    assert (found.name, found.queries, found.ndcg_10_first) == ("tiny", 1, 1.0)
    assert found.by_depth.keys() == {1, 2}
    assert found.by_depth[1].ndcg_10 == pytest.approx(THIRD)
    assert found.by_depth[1].ndcg_10_fused == pytest.approx(SECOND)
    assert (found.by_depth[2].ndcg_10, found.by_depth[2].ndcg_10_fused) == (1.0, 1.0)


def test_a_query_without_candidates_is_not_scored_and_counts_as_nothing_found() -> None:
    found = on_collection(collection(task("q1", {"right": 2.0, "wrong": 1.0}), task("q2", {})), 2, score)
    assert found.queries == 2
    assert found.ndcg_10_first == found.by_depth[2].ndcg_10 == found.by_depth[2].ndcg_10_fused == 0.5


def test_no_candidates_at_all_are_figures_too() -> None:
    found = on_collection(collection(task("q1", {})), 2, score)
    assert {(each.ndcg_10, each.ndcg_10_fused) for each in found.by_depth.values()} == {(0.0, 0.0)}
