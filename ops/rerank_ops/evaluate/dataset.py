"""Data of an evaluation: the queries that count, their judgements, and the texts of documents.

A query counts if it has a text and a relevant document. What does not, and what is odd about the rest, is noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Protocol

from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.judging.qrels import Judgement, Qrels
from rerank_ops.quality.collection import drawn
from rerank_shared.errors import InputRefused


class Source(Protocol):
    """Where data come from. Each iterator reads anew, and raises InputRefused, ConfigurationError or OSError."""

    @property
    def name(self) -> str:
        """Return what the data are called."""

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield ids and texts."""

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield ids and texts, of title and text as BEIR joins them."""

    def judgements(self) -> Iterator[Judgement]:
        """Yield judgements."""

    def identity(self) -> Mapping[str, str]:
        """Return what tells these data from others, by part."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The texts of the queries that count, sorted by id, and their judgements, {query id: {document id: grade}}."""

    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def relevant(self) -> Iterator[str]:
        """Yield the documents that are relevant for some query, each once."""
        yield from dict.fromkeys(name for judged in self.qrels.values() for name, grade in judged.items() if grade > 0)


def labelled_queries(source: Source, limit: int | None, oddities: Oddities) -> Labelled:
    """Return the queries that count, or `limit` of them, always the same ones.

    Raises InputRefused where none counts, and as `source` does.
    """
    grades = _grades(source, oddities)
    texts = _texts(source, oddities)
    judged = {name: given for name, given in grades.items() if max(given.values()) > 0}
    oddities.note("judged queries without text, left out", (name for name in judged if name not in texts))
    oddities.note("queries without judgements, left out", (name for name in texts if name not in grades))
    without = (name for name in texts if name in grades and name not in judged)
    oddities.note("queries without a relevant document, left out", without)
    counted = drawn(texts.keys() & judged.keys(), limit)
    if not counted:
        raise InputRefused(f"{source.name}: no query has a text and a relevant document; are the ids the same ones?")
    return Labelled({name: texts[name] for name in counted}, {name: judged[name] for name in counted})


def texts_of(source: Source, labelled: Labelled, wanted: Set[str] | None, oddities: Oddities) -> dict[str, str]:
    """Return the texts of documents by id: of the wanted ones, or with None of all. Raises as `source` does."""
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for name, text in source.documents():
        if name in seen:
            oddities.note("document ids given twice, of which the first counts", [name])
            continue
        seen.add(name)
        if not text.strip():
            oddities.note("documents without text", [name])
        if wanted is None or name in wanted:
            texts[name] = text
    oddities.note("relevant documents that are not in the corpus", (n for n in labelled.relevant() if n not in seen))
    return texts


def _grades(source: Source, oddities: Oddities) -> Qrels:
    grades: Qrels = {}
    for query, document, grade in source.judgements():
        judged = grades.setdefault(query, {})
        if judged.get(document, grade) != grade:
            oddities.note("pairs judged twice with different grades, of which the last counts", [f"{query} {document}"])
        judged[document] = grade
    return grades


def _texts(source: Source, oddities: Oddities) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, text in source.queries():
        if name in texts:
            oddities.note("query ids given twice, of which the first counts", [name])
        elif text.strip():
            texts[name] = text
        else:
            oddities.note("queries without text, left out", [name])
    return texts
