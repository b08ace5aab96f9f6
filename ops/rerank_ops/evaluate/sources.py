"""Sources of data: a BEIR directory, files of queries, documents and judgements, or a set that `ir_datasets` knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rerank_ops.evaluate.dataset import Source
from rerank_ops.judging.qrels import QRELS, Judgement, judgements, qrels_in
from rerank_ops.judging.query_texts import query_texts
from rerank_producer.bulk.formats.runs.trec import beir_files
from rerank_producer.bulk.texts.records import text_records
from rerank_producer.bulk.texts.text_store import identity_of
from rerank_shared.contract.schemas import encodable
from rerank_shared.errors import ConfigurationError, InputRefused

PREFIX = "ir_datasets:"


@dataclass(frozen=True, slots=True)
class Files:
    """Files of queries and documents, as TSV, JSONL or Parquet, and of judgements, as BEIR or TREC write them.

    A table of judgements that has the queries' texts can be both.
    """

    name: str
    queries_file: Path
    corpus_file: Path
    qrels_file: Path

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield ids and texts."""
        return query_texts(self.queries_file)

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield ids and texts."""
        return ((name, text) for _, name, text in text_records(self.corpus_file))

    def judgements(self) -> Iterator[Judgement]:
        """Yield judgements."""
        return judgements(self.qrels_file)

    def identity(self) -> Mapping[str, str]:
        """Return the digest of each file."""
        files = {"queries": self.queries_file, "documents": self.corpus_file, "judgements": self.qrels_file}
        return {part: identity_of(path) for part, path in files.items()}


@dataclass(frozen=True, slots=True)
class IrDataset:
    """A set of the package `ir_datasets`, which fetches it where it is not on this machine."""

    name: str
    dataset: Any

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield ids and texts."""
        return ((each.query_id, encodable(each.default_text())) for each in self.dataset.queries_iter())

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield ids and texts; what the package gives as a document's text has its title."""
        return ((each.doc_id, encodable(each.default_text())) for each in self.dataset.docs_iter())

    def judgements(self) -> Iterator[Judgement]:
        """Yield judgements."""
        return ((each.query_id, each.doc_id, int(each.relevance)) for each in self.dataset.qrels_iter())

    def identity(self) -> Mapping[str, str]:
        """Return its name, which stands for fixed data."""
        return {"data": self.name}


def source_of(data: str, qrels: Path | None = None) -> Source:
    """Return the source that a directory or `ir_datasets:ID` names; `qrels` in place of a directory's judgements.

    Raises InputRefused, ConfigurationError.
    """
    if data.startswith(PREFIX):
        return _ir_dataset(data.removeprefix(PREFIX))
    directory = Path(data)
    if not directory.is_dir():
        raise InputRefused(f"{data}: there is no such directory; a set of ir_datasets is named {PREFIX}ID")
    queries, corpus = beir_files(directory)
    qrels = qrels or qrels_in(directory)
    if qrels is None:
        others = ", ".join(sorted(str(path) for path in directory.glob("qrels/*")))
        has = f", such as {others}" if others else ""
        raise InputRefused(f"{directory}: it has no {' or '.join(QRELS)}; name a file of judgements with --qrels{has}")
    return Files(directory.resolve().name, queries, corpus, qrels)


def _ir_dataset(name: str) -> IrDataset:
    if find_spec("ir_datasets") is None:
        raise ConfigurationError(f"{PREFIX}{name} needs the package ir_datasets: pip install ir_datasets")
    import ir_datasets

    try:
        dataset = ir_datasets.load(name)
    except KeyError:
        raise InputRefused(
            f"{PREFIX}{name}: the package knows no such set; https://ir-datasets.com lists them"
        ) from None
    lacking = [part for part in ("queries", "docs", "qrels") if not getattr(dataset, f"has_{part}")()]
    if lacking:
        raise InputRefused(f"{PREFIX}{name}: it has no {' and no '.join(lacking)}; a part of it may, such as .../test")
    return IrDataset(f"{PREFIX}{name}", dataset)
