"""Material of a distillation: documents with their titles apart, queries, and judgements where there are any.

Queries of a BEIR directory are not taken for granted: they are mostly the ones to measure on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.judging.qrels import Qrels, read_qrels
from rerank_ops.judging.query_texts import query_texts
from rerank_ops.pseudo.titled import Titled
from rerank_producer.bulk.formats.runs.trec import beir_files
from rerank_producer.bulk.texts.records import joined, titled_records
from rerank_producer.bulk.texts.text_store import identity_of
from rerank_shared.contract.schemas import MAX_ID_CHARS
from rerank_shared.errors import InputRefused


@dataclass(frozen=True, slots=True)
class Queries:
    """Texts by query id, and the grades of documents, {query id: {document id: grade}}; no grades where unjudged."""

    texts: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def relevant(self, query: str) -> frozenset[str]:
        """Return the documents that are relevant for a query."""
        return frozenset(name for name, grade in self.qrels.get(query, {}).items() if grade > 0)


NO_QUERIES = Queries({}, {})


@dataclass(frozen=True, slots=True)
class Material:
    """All texts. Training is kept apart from the queries `measured_on`. `digests` tell the files from others."""

    documents: Mapping[str, Titled]
    queries: Queries
    measured_on: Queries
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Files:
    """Files by what they hold; None where there is none. `corpus` may be a BEIR directory."""

    corpus: Path
    queries: Path | None = None
    qrels: Path | None = None
    test_queries: Path | None = None
    test_qrels: Path | None = None

    @property
    def corpus_file(self) -> Path:
        """The file of documents. Raises InputRefused."""
        return beir_files(self.corpus)[1] if self.corpus.is_dir() else self.corpus


def read_material(files: Files, oddities: Oddities) -> Material:
    """Read all files. Raises InputRefused or ConfigurationError with file and line, OSError."""
    documents = _documents(files.corpus_file, oddities)
    queries = _queries(files.queries, files.qrels, documents, oddities, "training")
    measured_on = _queries(files.test_queries, files.test_qrels, documents, oddities, "test")
    given = {
        "corpus": files.corpus_file,
        "queries": files.queries,
        "judgements": files.qrels,
        "test queries": files.test_queries,
        "test judgements": files.test_qrels,
    }
    digests = {part: identity_of(path) for part, path in given.items() if path is not None}
    return Material(documents, queries, measured_on, digests)


def digest_of(value: str) -> str:
    """Return the SHA-256 of a text."""
    return sha256(value.encode()).hexdigest()


def _documents(path: Path, oddities: Oddities) -> dict[str, Titled]:
    documents: dict[str, Titled] = {}
    for line, name, title, text in titled_records(path):
        if len(name) > MAX_ID_CHARS:
            raise InputRefused(f"{path}, line {line}: the id has {len(name):,} characters, over {MAX_ID_CHARS:,}")
        if name in documents:
            oddities.note("document ids given twice, of which the first counts", [name])
        elif not joined(title, text):
            oddities.note("documents without text, left out", [name])
        else:
            documents[name] = Titled(title.strip(), text.strip())
    if not documents:
        raise InputRefused(f"{path}: no document has a text")
    return documents


def _queries(
    path: Path | None, qrels: Path | None, documents: Mapping[str, Titled], oddities: Oddities, kind: str
) -> Queries:
    if path is None:
        return NO_QUERIES
    texts: dict[str, str] = {}
    for name, text in query_texts(path):
        if name in texts:
            oddities.note(f"{kind} query ids given twice, of which the first counts", [name])
        elif text.strip():
            texts[name] = text.strip()
        else:
            oddities.note(f"{kind} queries without text, left out", [name])
    if not texts:
        raise InputRefused(f"{path}: no query has a text")
    grades: Qrels = {} if qrels is None else read_qrels(qrels)
    oddities.note(f"judged {kind} queries without text", (name for name in grades if name not in texts))
    lacking = (name for judged in grades.values() for name in judged if name not in documents)
    oddities.note(f"judged documents of {kind} queries that are not in the corpus", dict.fromkeys(lacking))
    if qrels is not None and not grades.keys() & texts.keys():
        raise InputRefused(f"{qrels} judges none of the queries of {path}; are the ids the same ones?")
    return Queries(texts, {name: judged for name, judged in grades.items() if name in texts})
