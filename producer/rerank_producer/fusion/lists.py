"""Reciprocal rank fusion of several first-stage lists into one list of candidates. Pure.

A document's place is by the sum of weight / (k + rank) over the lists it stands in, ranks from 1 (Cormack, Clarke,
Büttcher, SIGIR 2009). No document is lost or doubled before `limit`. The same lists always fuse to the same
candidates, so an index into them stays valid when the lists are fused again.

A candidate's first-stage score, which counts where a request asks for fusion, is the weighted sum of z-scores within
each list: of the list's scores, or of its reciprocal ranks where a document of it has no score. A document that a list
lacks counts there as the list's worst. Where no list has a score, candidates have none.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

from pydantic import ValidationError

from rerank_producer.fusion.deviation import deviation, in_units, mean
from rerank_shared.contract.schemas import SCORE_EXPECTED, Document, RerankResponse
from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import FirstStageOrder

#: Candidates, best first: texts, mappings with the fields of a Document, or Documents.
Documents = Sequence[str | Mapping[str, Any] | Document]
#: The paper's constant; its results hardly change between 20 and 100.
K = 60
_Key = tuple[str, Content]


class Candidate(Document):
    """A document as the first stage found it. `ranks` is its rank in each list, from 1; None: the list lacks it.

    `rank_score` is the sum of its reciprocal ranks, which candidates are ordered by. `score` is its first-stage score,
    None where no list has scores.
    A request takes it as it takes any Document.
    """

    rank_score: float
    ranks: tuple[int | None, ...]

    @property
    def fused_score(self) -> float:
        """The former name of `rank_score`; it goes with 0.2."""
        warnings.warn("Candidate.fused_score is rank_score now", FutureWarning, stacklevel=2)
        return self.rank_score


@dataclass(frozen=True, slots=True)
class FirstStage:
    """The candidates of a call: either documents, or lists to be fused into `max_candidates` at most.

    `order` is that of the scores in the lists.
    """

    documents: Documents | None
    lists: Sequence[Documents] | None = None
    max_candidates: int | None = None
    order: FirstStageOrder = "descending"

    def candidates(self) -> Documents:
        """Return the documents of the request, best first; raises InvalidRequest."""
        if self.lists is not None:
            if self.documents is not None:
                raise InvalidRequest("lists: give either documents or lists, not both")
            return fuse(self.lists, limit=self.max_candidates, order=self.order)
        if self.documents is None:
            raise InvalidRequest("documents: missing; give documents, or several lists of them as lists=[...]")
        if self.max_candidates is not None:
            raise InvalidRequest("max_candidates: goes with lists; all that is given as documents is reranked")
        return self.documents


@dataclass(frozen=True, slots=True)
class _Copy:
    """A document at its place in one list."""

    document: Document
    list_index: int
    rank: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """How good the documents of one list are, by rank: larger is better. `by_rank` has it in deviations of the list."""

    by_rank: dict[int, float]
    worst: float

    @classmethod
    def of(cls, goodness: Mapping[int, float]) -> Self:
        """Return the scale of a list, of which `goodness` has each document's by rank."""
        values, _ = in_units(list(goodness.values()))
        middle = mean(values)
        spread = deviation(values, middle)
        z_scores = [(value - middle) / spread if spread else 0.0 for value in values]
        return cls(dict(zip(goodness, z_scores, strict=True)), min(z_scores, default=0.0))

    def z_score(self, rank: int | None) -> float:
        """Return the z-score of the document at a rank; None counts as the worst of the list."""
        return self.worst if rank is None else self.by_rank[rank]


def fuse(
    lists: Sequence[Documents],
    *,
    weights: Sequence[float] | None = None,
    limit: int | None = None,
    k: float = K,
    order: FirstStageOrder = "descending",
) -> list[Candidate]:
    """Return the documents of all lists (each best first) as one list, best `rank_score` first, `limit` at most.

    A `rank_score` is the sum of weight / (k + rank) over the lists that have the document, ranks from 1; without
    `weights`, one for each list, all are 1. `order` is that of the lists' scores: "ascending" where smaller ones are
    better. A candidate's `score` has the same order.

    Documents are the same if they have the same id. One without an id is the same as another of the same content, and
    as the document with that content if exactly one id has it. Of several copies the first counts, in the order of the
    lists; it gets the metadata keys that it lacks from the others. In a list only the best rank of a document counts.
    Ties go to the better best rank, then to the earlier list. Raises InvalidRequest.
    """
    factors = _checked(lists, weights, limit, k)
    by_document: dict[_Key, list[_Copy]] = {}
    copies = _copies(lists)
    owners = _owners(copies)
    for copy in copies:
        by_document.setdefault(_key(copy.document, owners), []).append(copy)
    scales = _scales(copies, len(lists), order, k)
    candidates = [_candidate(each, factors, k, scales, order) for each in by_document.values()]
    candidates.sort(key=lambda candidate: (-candidate.rank_score, _best(candidate)))
    return candidates[:limit]


def with_ranks(response: RerankResponse, documents: Sequence[object]) -> RerankResponse:
    """Write into each result the ranks of its document in the fused lists, if it was fused; return the response."""
    for result in response.results:
        document = documents[result.index]
        if isinstance(document, Candidate):
            result.ranks = list(document.ranks)
    return response


def _checked(lists: Sequence[Documents], weights: Sequence[float] | None, limit: int | None, k: float) -> list[float]:
    """Return the weight of each list."""
    if not _is_list(lists):
        raise InvalidRequest("lists: a list of lists of documents expected")
    if limit is not None and (not isinstance(limit, Integral) or isinstance(limit, bool) or limit < 1):
        raise InvalidRequest(f"max_candidates: {limit!r}, but a whole number of at least 1 expected")
    if _number(k) is None:
        raise InvalidRequest("k: a finite number of at least 0 expected")
    if weights is None:
        return [1.0] * len(lists)
    factors = [factor for factor in map(_number, weights) if factor is not None] if _is_list(weights) else None
    if factors is None or not len(factors) == len(weights) == len(lists):
        raise InvalidRequest(f"weights: a finite number of at least 0 expected for each of the {len(lists)} lists")
    return factors


def _copies(lists: Sequence[Documents]) -> list[_Copy]:
    copies: list[_Copy] = []
    for list_index, documents in enumerate(lists):
        if not _is_list(documents):
            raise InvalidRequest(f"lists.{list_index}: a list of documents expected")
        copies += [
            _Copy(_document(given, f"lists.{list_index}.{rank - 1}"), list_index, rank)
            for rank, given in enumerate(documents, start=1)
        ]
    return copies


def _is_list(value: object) -> bool:
    """Return whether a value is ordered and can be read more than once."""
    readable = isinstance(value, Iterable) and hasattr(value, "__len__")
    return readable and not isinstance(value, str | bytes | Mapping | Set)


def _number(value: object) -> float | None:
    """Return a finite number of at least 0 as a float, None for any other value."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number < math.inf else None


def _document(given: object, place: str) -> Document:
    if isinstance(given, Document):
        return given
    try:
        return Document.model_validate({"text": given} if isinstance(given, str) else given)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        if mistake["loc"][:1] == ("score",):
            raise InvalidRequest(f"{place}.score: {SCORE_EXPECTED}") from None
        path = ".".join([place, *map(str, mistake["loc"])])
        raise InvalidRequest(f"{path}: {mistake['msg']}") from None


def _owners(copies: Iterable[_Copy]) -> dict[Content, set[str]]:
    """Return the ids under which each content is known."""
    owners: dict[Content, set[str]] = {}
    for copy in copies:
        if copy.document.id is not None:
            owners.setdefault(copy.document.content, set()).add(copy.document.id)
    return owners


def _key(document: Document, owners: Mapping[Content, set[str]]) -> _Key:
    if document.id is not None:
        return ("id", document.id)
    content = document.content
    ids = owners.get(content, ())
    # Two ids with one text are two documents, and it is unknown which of them this one is.
    return ("id", next(iter(ids))) if len(ids) == 1 else ("content", content)


def _scales(copies: Sequence[_Copy], count: int, order: FirstStageOrder, k: float) -> list[_Scale] | None:
    """Return the scale of each list, by scores or else by reciprocal ranks; None where no list has a score."""
    sign = -1.0 if order == "ascending" else 1.0
    ranked: list[dict[int, float]] = [{} for _ in range(count)]
    scored: list[dict[int, float]] = [{} for _ in range(count)]
    for copy in copies:
        ranked[copy.list_index][copy.rank] = 1 / (k + copy.rank)
        if copy.document.score is not None:
            scored[copy.list_index][copy.rank] = sign * copy.document.score
    whole = [len(scores) == len(ranks) and bool(scores) for scores, ranks in zip(scored, ranked, strict=True)]
    if not any(whole):
        return None
    choice = zip(whole, scored, ranked, strict=True)
    return [_Scale.of(scores if has_scores else ranks) for has_scores, scores, ranks in choice]


def _candidate(
    copies: Sequence[_Copy],
    factors: Sequence[float],
    k: float,
    scales: Sequence[_Scale] | None,
    order: FirstStageOrder,
) -> Candidate:
    ranks: list[int | None] = [None] * len(factors)
    for copy in reversed(copies):
        # The copies of one list are in the order of their ranks.
        ranks[copy.list_index] = copy.rank
    score = None
    if scales is not None:
        found = zip(factors, scales, ranks, strict=True)
        total = math.fsum(factor * scale.z_score(rank) for factor, scale, rank in found)
        score = -total if order == "ascending" else total
    documents = [copy.document for copy in copies]
    kept = documents[0]
    return Candidate.model_construct(
        text=kept.text,
        token_ids=kept.token_ids,
        id=next((document.id for document in documents if document.id is not None), None),
        metadata=_merged([document.metadata for document in documents if document.metadata is not None]),
        score=score,
        # Rounded once, so that the order of the lists does not show in the last bit.
        rank_score=math.fsum(
            factor / (k + rank) for factor, rank in zip(factors, ranks, strict=True) if rank is not None
        ),
        ranks=tuple(ranks),
    )


def _merged(metadata: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if len(metadata) < 2:
        return metadata[0] if metadata else None
    merged: dict[str, Any] = {}
    for each in metadata:
        merged |= {key: value for key, value in each.items() if key not in merged}
    return merged


def _best(candidate: Candidate) -> int:
    return min(rank for rank in candidate.ranks if rank is not None)
