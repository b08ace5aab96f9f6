"""Texts of queries: a file of texts by id, or a table of judgements that has them, as `feedback export` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rerank_ops.judging.qrel_tables import is_table, query_rows
from rerank_producer.bulk.texts.records import text_records
from rerank_shared.contract.schemas import encodable
from rerank_shared.errors import InputRefused


def query_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text of each query; of a table each query once, with '' where no row has its text.

    Raises InputRefused or ConfigurationError with file and line, InputRefused for a table without any text, OSError.
    """
    if not is_table(path):
        return ((name, text) for _, name, text in text_records(path))
    texts: dict[str, str] = {}
    for name, text in query_rows(path):
        texts[name] = texts.get(name) or encodable(text)
    if not any(texts.values()):
        raise InputRefused(
            f"{path} has judgements, but no query's text in `query`: texts of clicks are kept where "
            "RERANK_FEEDBACK_TEXTS is set. Name a file of the queries' texts in its place"
        )
    return iter(texts.items())
