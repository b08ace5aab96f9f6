"""The one score that is shown for a result never disagrees with its place."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.fusion.methods import fused_order
from rerank_producer.fusion.shown import shown_score
from rerank_shared.contract.activation import ACTIVATIONS, sigmoid
from rerank_shared.contract.messages import Fusion
from rerank_shared.contract.schemas import ModelInfo, Result
from rerank_shared.keys import FusionMethod

SIGMOID, IDENTITY = ModelInfo(name="m", activation="sigmoid"), ModelInfo(name="m", activation="identity")
FINITE = st.floats(-1e6, 1e6)


def test_without_fusion_it_is_the_relevance_score() -> None:
    assert shown_score(Result(index=0, relevance_score=0.25, logit=-1.0), SIGMOID) == 0.25
    assert shown_score(Result(index=0, scored=False), SIGMOID) is None


def test_of_a_fused_answer_it_is_the_fused_score_after_the_models_activation() -> None:
    result = Result(index=0, relevance_score=0.25, logit=-1.0, first_stage_score=9.0, fused_score=2.0)
    assert shown_score(result, SIGMOID) == sigmoid(2.0)
    assert shown_score(result, IDENTITY) == 2.0
    assert shown_score(result, ModelInfo(name="m")) == 2.0


@pytest.mark.parametrize("method", ["weighted", "zscore", "rrf"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(
    pairs=st.lists(st.tuples(FINITE, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=20),
    weight=st.floats(0, allow_infinity=False),
    ratio=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
)
def test_it_is_finite_and_never_rises_along_the_order(
    method: FusionMethod, activation: str, pairs: list[tuple[float, float]], weight: float, ratio: float | None
) -> None:
    logits, scores = zip(*pairs, strict=True)
    fused = fused_order(logits, Fusion(method=method, weight=weight, scores=scores, ratio=ratio))
    model = ModelInfo(name="m", activation=activation)
    shown = [shown_score(Result(index=at, logit=logits[at], fused_score=fused.scores[at]), model) for at in fused.order]
    finite = [score for score in shown if score is not None and math.isfinite(score)]
    assert len(finite) == len(pairs)
    assert all(before >= after for before, after in pairwise(finite))
