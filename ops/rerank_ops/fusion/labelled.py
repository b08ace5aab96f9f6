"""Labelled set: judged queries with candidates that have first-stage scores, from a collection or from requests.

A collection in the layout of BEIR gets its candidates and their scores from BM25. Requests are JSON objects, one a
line, as `rerank-fleet bulk` takes them, with an `id` (or `query_id`) of the query and an id of each document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_ops.judging.qrels import read_qrels
from rerank_ops.quality.collection import K, drawn, load_collection
from rerank_producer.bulk.formats.request_line import decoded, request_of, without_id
from rerank_shared.contract.schemas import Document, RerankRequest
from rerank_shared.errors import ConfigurationError, InvalidRequest
from rerank_shared.keys import FirstStageOrder

_OPTIONS = ("model", "max_length", "tokenizer_digest", "tenant", "cache_scope")


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A judged query with its candidates, each with id and score; `order` is that of the scores.

    `options` are those that its line sets and that change logits, by the names of a request.
    """

    id: str
    query: str
    candidates: tuple[Document, ...]
    order: FirstStageOrder = "descending"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Judged queries and their judgements, {query id: {document id: grade}}. `unjudged` queries are left out."""

    name: str
    queries: tuple[LabelledQuery, ...]
    qrels: Mapping[str, Mapping[str, int]]
    unjudged: int = 0


def from_collection(directory: Path, limit: int | None = None, k: int = K) -> LabelledSet:
    """Return a collection's judged queries with `k` BM25 candidates each at most. Raises ConfigurationError."""
    collection = load_collection(directory, limit, k)
    queries = tuple(
        LabelledQuery(
            task.query_id,
            task.query,
            tuple(Document(id=found.id, text=found.text, score=found.bm25) for found in task.candidates),
        )
        for task in collection.tasks
    )
    return LabelledSet(f"{collection.name}, BM25 candidates", queries, collection.qrels, collection.unjudged)


def from_requests(
    requests: Path, qrels: Path, limit: int | None = None, order: FirstStageOrder | None = None
) -> LabelledSet:
    """Return the judged queries of a file of requests; `order` is for lines that do not say theirs.

    Raises ConfigurationError, which names file and line.
    """
    judged = read_qrels(qrels)
    found: dict[str, LabelledQuery] = {}
    defaults = {} if order is None else {"first_stage_order": order}
    for place, query in _queries(requests, defaults):
        if query.id in found:
            raise ConfigurationError(f"{place}: the query id {query.id!r} stands on an earlier line too")
        found[query.id] = query
    with_answer = found.keys() & judged.keys()
    if not with_answer:
        raise ConfigurationError(f"{requests} has no query for which {qrels} names a relevant document")
    chosen = drawn(with_answer, limit)
    return LabelledSet(
        name=requests.name,
        queries=tuple(found[name] for name in chosen),
        qrels={name: judged[name] for name in chosen},
        unjudged=len(found) - len(with_answer),
    )


def _queries(path: Path, defaults: Mapping[str, Any]) -> Iterator[tuple[str, LabelledQuery]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                yield place, _query(line, defaults)
            except InvalidRequest as error:
                raise ConfigurationError(f"{place}: {error.message}") from None


def _query(line: bytes, defaults: Mapping[str, Any]) -> LabelledQuery:
    """Return the query of a line. Raises InvalidRequest."""
    name, fields = without_id(decoded(line, "`query` and `documents`"))
    if name is None:
        raise InvalidRequest("id: one id of the query expected, a text or a whole number, as `id` or `query_id`")
    request = request_of(fields, defaults)
    candidates = tuple(_candidates(request))
    if len({candidate.id for candidate in candidates}) < len(candidates):
        raise InvalidRequest("documents: two have the same id")
    options = {option: value for option in _OPTIONS if (value := getattr(request, option)) is not None}
    return LabelledQuery(str(name), request.query, candidates, request.first_stage_order, options)


def _candidates(request: RerankRequest) -> Iterator[Document]:
    for index, (given, score) in enumerate(zip(request.documents, request.first_stage_scores(), strict=True)):
        document = Document(text=given) if isinstance(given, str) else given
        if document.id is None:
            raise InvalidRequest(f"documents.{index}: it has no id, by which judgements name it")
        if score is None:
            raise InvalidRequest(f"documents.{index}: {document.id!r} has no first-stage score")
        yield document.model_copy(update={"score": score})
