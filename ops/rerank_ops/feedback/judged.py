"""Judgements from clicks: what each document was worth for each query, with clicks weighted by their rank. Pure.

    weight = sum over clicks of 1 / propensity of the rank, over the answers that showed the document

Under the position-based model its expectation is how often the document is clicked where it is looked at, whatever its
rank was (inverse propensity scoring). The grade, which evaluators need whole, is the weight in hundredths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rerank_ops.feedback.answers import Answer
from rerank_ops.feedback.propensities import Propensities

#: Propensities are not taken for smaller than this: one click counts as ten at most.
CLIP = 0.1
#: The grade of a document that is clicked whenever it is looked at.
FULL_GRADE = 100


@dataclass(frozen=True, slots=True)
class Judged:
    """A document and a query. `rank` is the mean of those at which it was shown; texts are None where not known."""

    query_id: str
    document_id: str
    grade: int
    weight: float
    clicks: int
    impressions: int
    rank: float
    query: str | None
    text: str | None


@dataclass(slots=True)
class _Seen:
    impressions: int = 0
    ranks: int = 0
    clicks: int = 0
    weight: float = 0.0


@dataclass(slots=True)
class _Query:
    query: str | None = None
    documents: dict[str, _Seen] = field(default_factory=dict)


def query_name(answer: Answer, names: Mapping[str, str]) -> str:
    """Return a query's name: the caller's id, that of `names` by its digest, its digest, or its request's id."""
    if answer.query_id is not None:
        return answer.query_id
    if answer.query_digest:
        return names.get(answer.query_digest, f"sha256:{answer.query_digest}")
    return f"request:{answer.request_id}"


def judged(
    answers: Iterable[Answer],
    found: Propensities | None,
    clip: float = CLIP,
    query_names: Mapping[str, str] | None = None,
    min_impressions: int = 1,
) -> list[Judged]:
    """Return the judgements, by query and document. `found` None: a click counts 1 at every rank.

    `query_names` has the ids of queries by their digests. Documents of fewer than `min_impressions` are left out.
    """
    queries: dict[str, _Query] = {}
    texts: dict[str, str] = {}
    for answer in answers:
        query = queries.setdefault(query_name(answer, query_names or {}), _Query())
        query.query = query.query or answer.query
        texts |= answer.texts
        for rank, document in enumerate(answer.shown, start=1):
            seen = query.documents.setdefault(document, _Seen())
            seen.impressions += 1
            seen.ranks += rank
            if rank in answer.clicked:
                seen.clicks += 1
                seen.weight += 1.0 if found is None else found.weight(rank, clip)
    return [
        _judged(name, query.query, document, seen, texts.get(document))
        for name, query in sorted(queries.items())
        for document, seen in sorted(query.documents.items())
        if seen.impressions >= min_impressions
    ]


def _judged(name: str, query: str | None, document: str, seen: _Seen, text: str | None) -> Judged:
    weight = seen.weight / seen.impressions
    grade = max(1, round(FULL_GRADE * min(1.0, weight))) if seen.clicks else 0
    rank = seen.ranks / seen.impressions
    return Judged(name, document, grade, weight, seen.clicks, seen.impressions, rank, query, text)
