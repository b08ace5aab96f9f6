"""Labelled collection in the layout of BEIR, with the first-stage candidates of its queries.

    corpus.jsonl     {"_id", "title", "text"} a line
    queries.jsonl    {"_id", "text"} a line
    qrels/test.tsv   query-id, corpus-id, score behind a header line, or qrels.tsv; see judging/qrels.py

Each may be compressed, with .gz or .zst behind its name.

Only queries with a relevant document count. The first stage is always BM25.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rerank_ops.demo.corpus import Passage
from rerank_ops.demo.first_stage import Bm25Hit, Bm25Index
from rerank_ops.judging.qrels import QRELS, read_qrels
from rerank_producer.bulk.files.sources import open_source
from rerank_producer.bulk.formats.runs.trec import file_in
from rerank_shared.errors import ConfigurationError

#: Candidates of each query.
K = 50


@dataclass(frozen=True, slots=True)
class Task:
    """A query with its first-stage candidates, best first."""

    query_id: str
    query: str
    candidates: tuple[Bm25Hit, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """The tasks of a collection; `qrels` are its judgements of the same queries, {query id: {document id: grade}}.

    `unjudged` queries had no relevant document, and are left out.
    """

    name: str
    tasks: tuple[Task, ...]
    qrels: Mapping[str, Mapping[str, int]]
    unjudged: int = 0


def load_collection(directory: Path, limit: int | None = None, k: int = K) -> Collection:
    """Return a collection with `k` candidates at most of its queries, or of `limit` of them, always the same ones.

    Raises ConfigurationError, which names the file that is missing or wrong.
    """
    qrels = read_qrels(_first_of(directory, *QRELS))
    queries = {record["_id"]: record["text"] for record in _records(directory, "queries", ("text",))}
    judged = sorted(queries.keys() & qrels.keys())
    if not judged:
        raise ConfigurationError(f"{directory} has no query with a relevant document")
    unjudged = len(queries) - len(judged)
    judged = drawn(judged, limit)
    documents = [
        Passage(record["_id"], f"{record.get('title') or ''} {record['text']}".strip())
        for record in _records(directory, "corpus", ("text",))
    ]
    return Collection(
        name=directory.resolve().name,
        tasks=tuple(_tasks(documents, {name: queries[name] for name in judged}, k)),
        qrels={name: qrels[name] for name in judged},
        unjudged=unjudged,
    )


def drawn(names: Iterable[str], limit: int | None) -> list[str]:
    """Return `limit` of the names (None: all), sorted. The same names give the same ones each time, in no pattern."""
    chosen = list(names)
    if limit is not None:
        chosen = sorted(chosen, key=lambda name: sha256(name.encode()).digest())[:limit]
    return sorted(chosen)


def _tasks(documents: list[Passage], queries: Mapping[str, str], k: int) -> Iterator[Task]:
    index = Bm25Index(documents)
    for query_id, query in queries.items():
        yield Task(query_id, query, tuple(index.top(query, k)))


def _first_of(directory: Path, *names: str) -> Path:
    if (found := file_in(directory, *names)) is None:
        raise ConfigurationError(f"{directory} is no collection in the layout of BEIR: it has no {' or '.join(names)}")
    return found


def _records(directory: Path, name: str, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    path = _first_of(directory, f"{name}.jsonl")
    with open_source(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ConfigurationError(f"{path}, line {number}: not JSON: {error}") from None
            if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("_id", *needed)):
                raise ConfigurationError(f"{path}, line {number}: it needs _id and {', '.join(needed)}, each a text")
            yield record
