"""The fusion that a request asks for, or else the settings. Pure."""

from __future__ import annotations

from dataclasses import replace

from rerank_producer.fusion.lists import Candidate
from rerank_shared.contract.messages import Deviations, Fusion
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.deviations import TRUSTED_REQUESTS
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings


def fusion_of(request: RerankRequest, settings: Settings) -> Fusion | None:
    """Return how first-stage scores count in a request; None where the model's scores alone do.

    A default of the settings is for the requests that have first-stage scores. A request that itself asks for
    reciprocal ranks may have none: the order of its documents is then that of the first stage. Raises InvalidRequest
    where it asks for another method and has none.
    """
    method = request.fusion or settings.fusion
    if method == "none":
        return None
    scores = tuple(request.first_stage_scores())
    if all(score is None for score in scores):
        if request.fusion is None or not scores:
            return None
        scores = _by_rank(request)
        if not scores and method != "rrf":
            raise InvalidRequest(
                f"fusion: {method!r} needs first-stage scores, and no document has one. Give each its `score`, or "
                "`scores` beside `documents`; or ask for 'rrf', which takes the order of the documents"
            )
    return Fusion(
        method=method,
        weight=settings.fusion_weight if request.fusion_weight is None else request.fusion_weight,
        scores=scores,
        order=request.first_stage_order,
        ratio=request.fusion_ratio if method == "weighted" else None,
        first_stage=request.first_stage,
    )


def _by_rank(request: RerankRequest) -> tuple[float, ...]:
    """Return the sums of reciprocal ranks of candidates from several lists; () where there are other documents."""
    sign = -1.0 if request.first_stage_order == "ascending" else 1.0
    sums = [sign * document.rank_score for document in request.documents if isinstance(document, Candidate)]
    return tuple(sums) if len(sums) == len(request.documents) else ()


def learns_ratio(fusion: Fusion) -> bool:
    """Whether the fusion's ratio is learned while running; it may have been learned already."""
    given = fusion.ratio is not None and fusion.learned_requests is None
    return fusion.method == "weighted" and not given


def with_learned(fusion: Fusion, known: Deviations | None, key: str) -> Fusion:
    """Return a fusion with the ratio that was learned under `key` so far, if it rests on enough requests."""
    requests = 0 if known is None else known.requests
    ratio = known.ratio if known is not None and requests >= TRUSTED_REQUESTS else None
    return replace(fusion, ratio=ratio, learned_requests=requests, learned_under=key)


def without_learned(fusion: Fusion) -> Fusion:
    """Return a fusion without its ratio if that was learned: it belongs to the logits of another model."""
    if fusion.learned_requests is None:
        return fusion
    return replace(fusion, ratio=None, learned_requests=0, learned_under="")
