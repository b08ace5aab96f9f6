"""Ranking: the order of a request's documents, by the model's logits alone or fused with first-stage scores. Pure.

The best comes first; ties keep the order of the request. Documents without a score follow, in first-stage order. Scores
are finite: `wire` refuses any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_producer._request.merge import Scored
from rerank_producer._request.plan import same_scores
from rerank_producer.fusion.asked import without_learned
from rerank_producer.fusion.methods import FusedOrder, fused_order
from rerank_shared.contract.messages import Fusion, Score, ScoringIdentity, StoredRequest
from rerank_shared.contract.schemas import FusionInfo
from rerank_shared.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranked request: the score of each document, None where it has none, and all indexes, best first.

    `complete` says that every document has a score. `fusion` and `fused` are None where logits alone gave the order.
    """

    scores: list[Score | None]
    order: list[int]
    complete: bool
    identity: ScoringIdentity | None
    fusion: Fusion | None = None
    fused: FusedOrder | None = None

    def fusion_info(self) -> FusionInfo | None:
        """Return what the answer says of its fusion."""
        if self.fusion is None or self.fused is None:
            return None
        return FusionInfo(
            method=self.fusion.method,
            applied=self.fused.applied,
            weight=self.fusion.weight,
            ratio=self.fused.ratio,
            learned_requests=self.fusion.learned_requests,
            first_stage=self.fusion.first_stage,
        )


def ranking_of(stored: StoredRequest, scored: Scored | None) -> Ranking:
    """Return the ranking of a request. `scored` None: only the hits have scores."""
    scores = merge(stored, scored)
    identity = stored.identity if scored is None else scored.identity
    logits = [None if score is None else score.logit for score in scores]
    complete, fusion = None not in logits, stored.fusion
    if fusion is None:
        return Ranking(scores, rank(logits), complete, identity)
    if fusion.scores and (len(fusion.scores) != len(scores) or all(score is None for score in fusion.scores)):
        raise MalformedMessage("a submitted request has first-stage scores that are not those of its documents")
    if stored.identity is None or identity is None or not same_scores(stored.identity, identity):
        fusion = without_learned(fusion)
    fused = fused_order(logits, fusion)
    return Ranking(scores, fused.order, complete, identity, fusion, fused)


def merge(stored: StoredRequest, scored: Scored | None) -> list[Score | None]:
    """Return the score of each document of the request, None where it has none."""
    scores: list[Score | None] = [None] * len(stored.ids)
    for index, score in stored.hits.items():
        scores[index] = score
    if scored is not None:
        for index, new in zip(stored.misses, scored.scores, strict=True):
            scores[index] = new
    return scores


def rank(logits: Sequence[float | None]) -> list[int]:
    """Return all indexes, best logit first, those without logit last."""
    scored = [(-logit, index) for index, logit in enumerate(logits) if logit is not None]
    scored.sort()
    return [index for _, index in scored] + [index for index, logit in enumerate(logits) if logit is None]
