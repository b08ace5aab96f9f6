"""From scores to the answer: cached and new ones merged, ranked, cut to `top_n`, activated. Pure.

Best logit first, ties in the order of the request, and what has no score behind all that has, in the order of the
request. No document is lost or doubled before the cut. Scores are finite: `wire` lets no other in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from rerank_producer._request.merge import Scored
from rerank_shared.contract.activation import ACTIVATIONS
from rerank_shared.contract.messages import Artefact, Score, Stages, Submitted
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import UnsupportedVersion

#: One validation of the whole list takes half the time of one a result.
_RESULTS = TypeAdapter(list[Result])


def build_response(
    plan: Submitted,
    scored: Scored | None,
    *,
    metadata: Sequence[dict[str, Any] | None] | None = None,
    timings: Timings,
) -> RerankResponse:
    """Return the answer to a request; where nothing was scored for it only its hits are.

    Raises UnsupportedVersion where a worker's answer can't be used.
    """
    scores = merge(plan, scored)
    artefact = plan.artefact if scored is None else scored.artefact
    activate = _activation(artefact)
    rows = [
        _row(index, scores[index], index in plan.hits, activate, plan.ids[index], metadata[index] if metadata else None)
        for index in rank(scores)[: plan.top_n]
    ]
    return RerankResponse(
        id=plan.job_id,
        results=_RESULTS.validate_python(rows),
        complete=None not in scores,
        model=model_info(plan.model, artefact),
        timings=timings,
        usage=_usage(plan, scored),
        batch_pairs=[] if scored is None else list(scored.batch_pairs),
        workers=[] if scored is None else list(scored.workers),
    )


def stage_timings(scored: Scored | None) -> Timings:
    """Return the worker's stages; what the client adds is 0."""
    stages = Stages() if scored is None else scored.stages
    return Timings(
        queue_ms=stages.queue_ms, tokenize_ms=stages.tokenize_ms, batch_ms=stages.batch_ms, run_ms=stages.run_ms
    )


def merge(plan: Submitted, scored: Scored | None) -> list[Score | None]:
    """Return the score of each document of the request, None for what has none."""
    scores: list[Score | None] = [None] * len(plan.ids)
    for index, score in plan.hits.items():
        scores[index] = score
    if scored is not None:
        for index, new in zip(plan.misses, scored.scores, strict=True):
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


def model_info(name: str, artefact: Artefact | None) -> ModelInfo:
    """Return what is known of a model that was asked for by `name`."""
    if artefact is None:
        return ModelInfo(name=name)
    return ModelInfo(
        name=artefact.model,
        digest=artefact.model_digest,
        precision=artefact.precision,
        max_length=artefact.max_length,
    )


def _usage(plan: Submitted, scored: Scored | None) -> Usage:
    run = [] if scored is None else [score for score in scored.scores if score is not None]
    return Usage(tokens=sum(score.tokens for score in run), pairs_run=len(run), pairs_cached=len(plan.hits))
