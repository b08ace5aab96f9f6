"""From scores to the answer: cached and new ones merged, ranked, cut to `top_n`, activated. Pure.

Best logit first, ties in the order of the request, and what has no score behind all that has, in the order of the
request. No document is lost or doubled before the cut. Scores are finite: `wire` lets no other in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from rerank_shared.activation import ACTIVATIONS
from rerank_shared.errors import MalformedMessage, UnsupportedVersion
from rerank_shared.messages import Artefact, Outcome, Score, Submitted
from rerank_shared.schemas import ModelInfo, RerankResponse, Result, Timings, Usage

#: One validation of the whole list takes half the time of one a result.
_RESULTS = TypeAdapter(list[Result])


def build_response(
    plan: Submitted,
    outcome: Outcome | None,
    *,
    metadata: Sequence[dict[str, Any] | None] | None = None,
    timings: Timings,
) -> RerankResponse:
    """Return the answer to a request; without an outcome only its hits are scored.

    Raises MalformedMessage or UnsupportedVersion where a worker's answer can't be used.
    """
    scores = merge(plan, outcome)
    artefact = plan.artefact if outcome is None else outcome.artefact
    activate = _activation(artefact)
    rows = [
        _row(index, scores[index], index in plan.hits, activate, plan.ids[index], metadata[index] if metadata else None)
        for index in rank(scores)[: plan.top_n]
    ]
    return RerankResponse(
        id=plan.job_id,
        results=_RESULTS.validate_python(rows),
        complete=None not in scores,
        model=_model(plan.model, artefact),
        timings=timings,
        usage=_usage(plan, outcome),
        batch_pairs=[] if outcome is None else list(outcome.batch_pairs),
        worker=None if outcome is None else outcome.worker,
    )


def merge(plan: Submitted, outcome: Outcome | None) -> list[Score | None]:
    """Return the score of each document of the request, None for what has none."""
    scores: list[Score | None] = [None] * len(plan.ids)
    for index, score in plan.hits.items():
        scores[index] = score
    if outcome is None:
        return scores
    if len(outcome.scores) != len(plan.misses):
        raise MalformedMessage(
            f"worker {outcome.worker} answered {len(outcome.scores)} scores for the {len(plan.misses)} documents of "
            f"job {plan.job_id}: run the same release of rerank-fleet on producers and workers"
        )
    for index, new in zip(plan.misses, outcome.scores, strict=True):
        scores[index] = new
    return scores


def rank(scores: Sequence[Score | None]) -> list[int]:
    """Return all indexes, best first, unscored last."""
    scored = [(-score.logit, index) for index, score in enumerate(scores) if score is not None]
    scored.sort()
    return [index for _, index in scored] + [index for index, score in enumerate(scores) if score is None]


def _row(
    index: int,
    score: Score | None,
    cached: bool,
    activate: Callable[[float], float],
    document_id: str | None,
    metadata: dict[str, Any] | None,
) -> dict[str, Any]:
    if score is None:
        return {"index": index, "id": document_id, "scored": False, "metadata": metadata}
    return {
        "index": index,
        "id": document_id,
        "relevance_score": activate(score.logit),
        "logit": score.logit,
        "tokens": score.tokens,
        "truncated": score.truncated,
        "cached": cached,
        "metadata": metadata,
    }


def _activation(artefact: Artefact | None) -> Callable[[float], float]:
    name = "identity" if artefact is None else artefact.activation
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise UnsupportedVersion(
            f"the workers use the activation {name!r}, which is not known here: "
            "run the same release of rerank-fleet on producers and workers"
        ) from None


def _model(name: str, artefact: Artefact | None) -> ModelInfo:
    if artefact is None:
        return ModelInfo(name=name)
    return ModelInfo(
        name=artefact.model,
        digest=artefact.model_digest,
        precision=artefact.precision,
        max_length=artefact.max_length,
    )


def _usage(plan: Submitted, outcome: Outcome | None) -> Usage:
    run = [] if outcome is None else [score for score in outcome.scores if score is not None]
    return Usage(tokens=sum(score.tokens for score in run), pairs_run=len(run), pairs_cached=len(plan.hits))
