"""The ranking in an answer: one score a document, the cut to the best, and the tokens. Pure.

The order and the scores never disagree: the scores of a fused answer are the fused ones.

An API cuts to the caller's `top_n` when it writes the answer. The call has all documents, so the tokens, the cut texts
and the missing scores that the answer reports are those of the whole request.
"""

from __future__ import annotations

from collections.abc import Callable

from rerank_producer.fusion.shown import shown_score
from rerank_shared.contract.activation import sigmoid
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result

#: The index of a document, and the score to write.
Row = tuple[int, float]
#: From a result, and the model that scored it, to its score.
Score = Callable[[Result, ModelInfo], float | None]


def relevance(result: Result, model: ModelInfo) -> float | None:
    """Return the score after the model's own activation."""
    return shown_score(result, model)


def probability(result: Result, model: ModelInfo) -> float | None:
    """Return the sigmoid of the logit, whatever the model's activation; without a logit, the score as it is."""
    value = _raw(result)
    return result.relevance_score if value is None else sigmoid(value)


def raw(result: Result, model: ModelInfo) -> float | None:
    """Return the logit; without one, as from an upstream, the score."""
    value = _raw(result)
    return result.relevance_score if value is None else value


def _raw(result: Result) -> float | None:
    """Return what the order is by: the fused score of a fused answer, else the logit."""
    return result.logit if result.fused_score is None else result.fused_score


def rows(response: RerankResponse, top_n: int | None = None, score: Score = relevance) -> list[Row]:
    """Return the best `top_n` (None or 0: all) of a response, in its order.

    A document without a score gets 0, or the lowest score if that is below 0, since these APIs know no missing score.
    It stands behind all others.
    """
    scores = [score(result, response.model) for result in response.results]
    lowest = min((value for value in scores if value is not None), default=0.0)
    missing = min(0.0, lowest)
    written = [
        (result.index, missing if value is None else value)
        for result, value in zip(response.results, scores, strict=True)
    ]
    return written[: top_n or None]


def total_tokens(response: RerankResponse) -> int:
    """Return the tokens of all pairs of the request, cached ones too."""
    return max(response.usage.tokens, sum(result.tokens or 0 for result in response.results))


def cached_tokens(response: RerankResponse) -> int:
    """Return the tokens of the pairs whose scores were known."""
    return sum(result.tokens or 0 for result in response.results if result.cached)
