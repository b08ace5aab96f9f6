"""Builds the response: merges cached and new scores, ranks them, cuts to `top_n`, applies the activation. Pure.

The best logit comes first; ties keep the order of the request. Documents without a score follow, in the order of the
request. Scores are finite: `wire` refuses any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from rerank_producer._request.merge import Scored
from rerank_shared.contract.activation import ACTIVATIONS
from rerank_shared.contract.messages import Score, ScoringIdentity, Stages, StoredRequest
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import UnsupportedVersion

#: Validating the whole list at once takes half the time of one validation a result.
_RESULTS = TypeAdapter(list[Result])


def build_response(
    stored: StoredRequest,
    scored: Scored | None,
    *,
    metadata: Sequence[dict[str, Any] | None] | None = None,
    timings: Timings,
) -> RerankResponse:
    """Return the response to a request. `scored` None: only the hits have scores. `metadata` has one item a document.

    Raises UnsupportedVersion where a worker names an activation that this release lacks.
    """
    scores = merge(stored, scored)
    identity = stored.identity if scored is None else scored.identity
    activate = _activation(identity)
    rows = [
        _row(
            index,
            scores[index],
            index in stored.hits,
            activate,
            stored.ids[index],
            metadata[index] if metadata else None,
        )
        for index in rank(scores)[: stored.top_n]
    ]
    return RerankResponse(
        id=stored.job_id,
        results=_RESULTS.validate_python(rows),
        complete=None not in scores,
        model=model_info(stored.model, identity),
        timings=timings,
        usage=_usage(stored, scored),
        batch_pairs=[] if scored is None else list(scored.batch_pairs),
        workers=[] if scored is None else list(scored.workers),
    )


def stage_timings(scored: Scored | None) -> Timings:
    """Return the worker's stages; the client's own stages are 0."""
    stages = Stages() if scored is None else scored.stages
    return Timings(
        queue_ms=stages.queue_ms, tokenize_ms=stages.tokenize_ms, batch_ms=stages.batch_ms, run_ms=stages.run_ms
    )


def merge(stored: StoredRequest, scored: Scored | None) -> list[Score | None]:
    """Return the score of each document of the request, None where it has none."""
    scores: list[Score | None] = [None] * len(stored.ids)
    for index, score in stored.hits.items():
        scores[index] = score
    if scored is not None:
        for index, new in zip(stored.misses, scored.scores, strict=True):
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


def _activation(identity: ScoringIdentity | None) -> Callable[[float], float]:
    name = "identity" if identity is None else identity.activation
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise UnsupportedVersion(
            f"the workers use the activation {name!r}, which is not known here: "
            "run the same release of rerank-fleet on producers and workers"
        ) from None


def model_info(name: str, identity: ScoringIdentity | None) -> ModelInfo:
    """Return the model info of a request for `name`; only the name while the identity is unknown."""
    if identity is None:
        return ModelInfo(name=name)
    return ModelInfo(
        name=identity.model,
        digest=identity.model_digest,
        precision=identity.precision,
        max_length=identity.max_length,
    )


def _usage(stored: StoredRequest, scored: Scored | None) -> Usage:
    run = [] if scored is None else [score for score in scored.scores if score is not None]
    return Usage(tokens=sum(score.tokens for score in run), pairs_run=len(run), pairs_cached=len(stored.hits))
