"""The score that is shown for a result, where an API or a framework knows one score only. Pure."""

from __future__ import annotations

from rerank_shared.contract.activation import ACTIVATIONS, identity
from rerank_shared.contract.schemas import ModelInfo, Result


def shown_score(result: Result, model: ModelInfo) -> float | None:
    """Return the score by which a result stands where it stands; None where it was not scored.

    That is the relevance score. Of a fused answer it is the fused score after the model's activation, so that it
    never disagrees with the order, and has the range of a relevance score.
    """
    if result.fused_score is None:
        return result.relevance_score
    return ACTIVATIONS.get(model.activation or "", identity)(result.fused_score)
