"""Labelled collection in the layout of BEIR, with the first-stage candidates of its queries.

    corpus.jsonl     {"_id", "title", "text"} a line, or corpus.jsonl.gz
    queries.jsonl    {"_id", "text"} a line, or queries.jsonl.gz
    qrels/test.tsv   query-id, corpus-id, score behind a header line, or qrels.tsv

Only queries with a relevant document count. The first stage is always BM25.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rerank_ops.demo.corpus import Passage
from rerank_ops.demo.first_stage import Bm25Index
from rerank_shared.errors import ConfigurationError

#: Candidates of each query.
K = 50


@dataclass(frozen=True, slots=True)
class Task:
    """A query with its first-stage candidates, best first."""

    query_id: str
    query: str
    candidates: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """The tasks of a collection; `qrels` are its judgements of the same queries, {query id: {document id: grade}}."""

    name: str
    tasks: tuple[Task, ...]
    qrels: Mapping[str, Mapping[str, int]]


def load_collection(directory: Path, limit: int | None = None) -> Collection:
    """Return a collection with the candidates of its queries, or of `limit` of them, always the same ones.

    Raises ConfigurationError, which names the file that is missing or wrong.
    """
    qrels = _qrels(_first_of(directory, "qrels/test.tsv", "qrels.tsv"))
    queries = {record["_id"]: record["text"] for record in _records(directory, "queries", ("text",))}
    judged = sorted(queries.keys() & qrels.keys())
    if not judged:
        raise ConfigurationError(f"{directory} has no query with a relevant document")
    if limit is not None:
        judged = sorted(sorted(judged, key=lambda name: sha256(name.encode()).digest())[:limit])
    documents = [
        Passage(record["_id"], f"{record.get('title') or ''} {record['text']}".strip())
        for record in _records(directory, "corpus", ("text",))
    ]
    return Collection(
        name=directory.resolve().name,
        tasks=tuple(_tasks(documents, {name: queries[name] for name in judged})),
        qrels={name: qrels[name] for name in judged},
    )


def _tasks(documents: list[Passage], queries: Mapping[str, str]) -> Iterator[Task]:
    texts = {document.id: document for document in documents}
    index = Bm25Index(documents)
    for query_id, query in queries.items():
        yield Task(query_id, query, tuple(texts[found.id] for found in index.top(query, K)))


def _first_of(directory: Path, *names: str) -> Path:
    found = next((directory / name for name in names if (directory / name).is_file()), None)
    if found is None:
        raise ConfigurationError(f"{directory} is no collection in the layout of BEIR: it has no {' or '.join(names)}")
    return found


def _records(directory: Path, name: str, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    path = _first_of(directory, f"{name}.jsonl", f"{name}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ConfigurationError(f"{path}, line {number}: not JSON: {error}") from None
            if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("_id", *needed)):
                raise ConfigurationError(f"{path}, line {number}: it needs _id and {', '.join(needed)}, each a text")
            yield record


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return the judgements of queries that have a positive one."""
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        if not line.strip():
            continue
        try:
            query_id, document_id, grade = line.split("\t")
            grades.setdefault(query_id, {})[document_id] = int(grade)
        except ValueError:
            raise ConfigurationError(
                f"{path}, line {number}: query-id, corpus-id and score expected, got {line!r}"
            ) from None
    return {query_id: judged for query_id, judged in grades.items() if max(judged.values()) > 0}
