"""Compares a shadow's scores with the live ones: the models' own, before first-stage scores are fused in. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_producer._dispatch.shadow.asking import ShadowAnswer
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_producer._request.ranking import Ranking
from rerank_producer._request.response import activation_of
from rerank_shared.contract.feedback import query_digest
from rerank_shared.contract.messages import Score
from rerank_shared.contract.schemas import Document
from rerank_shared.drift.agreement import Agreement, agreement
from rerank_shared.drift.figures import Cost, Side
from rerank_shared.drift.worst import MAX_TEXT_CHARS, WorstQuery
from rerank_shared.scheduling.cost import Work


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a shadow agreed with the live model on one request, and what the pairs cost each of them."""

    agreement: Agreement
    costs: Mapping[Side, Cost]


def compare(sampled: Sampled, answer: ShadowAnswer) -> Comparison:
    """Return the comparison of a shadow's answer, which is complete, with the live scores of the same documents."""
    live, shadow = (_scores(ranking) for ranking in (sampled.ranking, answer.ranking))
    return Comparison(
        agreement(_relevance(sampled.ranking, live), _relevance(answer.ranking, shadow)),
        {"live": _cost(live, sampled.load), "shadow": _cost(shadow, answer.load)},
    )


def worst_query(
    sampled: Sampled, answer: ShadowAnswer, agreed: Agreement, at: float, *, with_texts: bool
) -> WorstQuery:
    """Return the record of a query, should it be among the worst; `at` is epoch seconds."""
    texts = {}
    if with_texts:
        documents = [_text(sampled.request.documents[index]) for index in answer.documents]
        texts = {
            "query": sampled.request.query[:MAX_TEXT_CHARS],
            "live_first": documents[agreed.live_first],
            "shadow_first": documents[agreed.shadow_first],
        }
    return WorstQuery(
        query_digest=query_digest(sampled.request.query),
        live=sampled.live,
        shadow=sampled.shadow,
        rank=agreed.rank,
        documents=len(answer.documents),
        overlap=agreed.overlap,
        spearman=agreed.spearman,
        mean_difference=agreed.mean_difference,
        at=at,
        **texts,
    )


def _scores(ranking: Ranking) -> list[Score]:
    return [score for score in ranking.scores if score is not None]


def _relevance(ranking: Ranking, scores: Sequence[Score]) -> list[float]:
    activate = activation_of(ranking.identity)
    return [activate(score.logit) for score in scores]


def _cost(scores: Sequence[Score], load: FleetLoad | None) -> Cost:
    tokens = [score.tokens for score in scores]
    timed = load is not None and load.cost is not None
    seconds = load.run_s(Work.of(tokens)) if timed and load is not None else None
    return Cost(sum(tokens), sum(score.truncated for score in scores), seconds)


def _text(document: str | Document) -> str | None:
    """Return the beginning of a document's text; None where it was sent as token ids."""
    text = document if isinstance(document, str) else document.text
    return None if text is None else text[:MAX_TEXT_CHARS]
