"""Builds the response from a ranking: cuts it to `top_n`, swaps neighbours in a few, applies the activation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from rerank_producer._request.merge import Scored
from rerank_producer._request.ranking import Ranking
from rerank_shared.contract.activation import ACTIVATIONS
from rerank_shared.contract.messages import Score, ScoringIdentity, Stages, StoredRequest
from rerank_shared.contract.schemas import Experiment, ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.contract.swaps import swap_rank, swapped
from rerank_shared.errors import UnsupportedVersion

#: Validating the whole list at once takes half the time of one validation a result.
_RESULTS = TypeAdapter(list[Result])


def build_response(
    stored: StoredRequest,
    scored: Scored | None,
    ranking: Ranking,
    *,
    metadata: Sequence[dict[str, Any] | None] | None = None,
    timings: Timings,
    swap_share: float = 0.0,
) -> RerankResponse:
    """Return the response to a ranked request. `metadata` has one item a document.

    Of interactive requests a share of `swap_share` has two neighbours exchanged.

    Raises UnsupportedVersion where a worker names an activation that this release lacks.
    """
    scores, identity = ranking.scores, ranking.identity
    activate = activation_of(identity)
    order = ranking.order[: stored.top_n]
    experiment = _experiment(stored, len(order), swap_share)
    if experiment is not None:
        order = swapped(order, experiment.ranks[0])
    rows = [
        _row(
            index,
            scores[index],
            index in stored.hits,
            activate,
            stored.ids[index],
            metadata[index] if metadata else None,
        )
        for index in order
    ]
    if ranking.fused is not None:
        given = stored.fusion.scores if stored.fusion else ()
        for index, row in zip(order, rows, strict=True):
            row["first_stage_score"] = given[index] if given else None
            row["fused_score"] = ranking.fused.scores[index]
    return RerankResponse(
        id=stored.job_id,
        results=_RESULTS.validate_python(rows),
        complete=ranking.complete,
        model=model_info(stored.model, identity),
        timings=timings,
        usage=_usage(stored, scored),
        batch_pairs=[] if scored is None else list(scored.batch_pairs),
        workers=[] if scored is None else list(scored.workers),
        fusion=ranking.fusion_info(),
        experiment=experiment,
        route=stored.route,
        route_version=stored.route_version,
    )


def _experiment(stored: StoredRequest, results: int, swap_share: float) -> Experiment | None:
    """Return the swap of an answer, if it is one of the few and long enough."""
    # A bulk run's output is nobody's page, and must be the same each time.
    rank = swap_rank(stored.job_id, swap_share) if stored.job_class == "interactive" else None
    return Experiment(ranks=(rank, rank + 1)) if rank is not None and rank < results else None


def with_swap(response: RerankResponse, swap_share: float) -> RerankResponse:
    """Return an answer that another server made, with two neighbours exchanged if it is one of the `swap_share`."""
    rank = swap_rank(response.id, swap_share)
    if rank is None or rank >= len(response.results):
        return response
    results = swapped(response.results, rank)
    return response.model_copy(update={"results": results, "experiment": Experiment(ranks=(rank, rank + 1))})


def stage_timings(scored: Scored | None) -> Timings:
    """Return the worker's stages; the client's own stages are 0."""
    stages = Stages() if scored is None else scored.stages
    return Timings(
        queue_ms=stages.queue_ms, tokenize_ms=stages.tokenize_ms, batch_ms=stages.batch_ms, run_ms=stages.run_ms
    )


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


def activation_of(identity: ScoringIdentity | None) -> Callable[[float], float]:
    """Return the function that makes a relevance score of a logit. Raises UnsupportedVersion."""
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
        activation=identity.activation,
    )


def _usage(stored: StoredRequest, scored: Scored | None) -> Usage:
    run = [] if scored is None else [score for score in scored.scores if score is not None]
    return Usage(tokens=sum(score.tokens for score in run), pairs_run=len(run), pairs_cached=len(stored.hits))
