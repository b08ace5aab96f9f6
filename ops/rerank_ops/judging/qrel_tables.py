"""Judgements as tables, Parquet or JSONL: a row has `query_id`, `document_id` and `grade`, and whatever else.

`query` is the query's text, where a table has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.parquet import MAGIC, opened
from rerank_producer.bulk.files.sources import open_source
from rerank_shared.errors import ConfigurationError

_NAMES = ("query_id", "document_id", "grade")
_TEXT = "query"
_BATCH_ROWS = 4_096
#: trec_eval counts the documents of each grade in a table as long as the largest one, and wraps around at 32 bits.
_LARGEST_GRADE = 1_000_000
Row = tuple[str, str, int]


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_table(path: Path) -> bool:
    """Whether a file is a table of judgements, by its columns or its first line.

    Raises ConfigurationError or InputRefused for a file that can't be read, OSError.
    """
    if is_parquet(path):
        return set(_NAMES) <= set(_columns(path))
    with open_source(path) as lines:
        first = lines.readline()
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and set(_NAMES) <= record.keys()


def parquet_judgements(path: Path) -> Iterator[Row]:
    """Yield query id, document id and grade of each row. Raises ConfigurationError, with file and row."""
    if lacking := [name for name in _NAMES if name not in _columns(path)]:
        raise ConfigurationError(f"{path}: a Parquet file of judgements has the columns {', '.join(lacking)} too")
    return (_row(record, where) for where, record in _parquet_records(path, _NAMES))


def json_judgement(line: str | bytes, where: str) -> Row:
    """Return query id, document id and grade of a line of JSON. Raises ConfigurationError, with `where`."""
    return _row(_object(line, where), where)


def query_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield query id and query text of each row of a table, '' where it has no text.

    Raises ConfigurationError, with file and row or line, InputRefused, OSError.
    """
    for where, record in _records(path):
        query_id, _, _ = _row(record, where)
        text = record.get(_TEXT) or ""
        if not isinstance(text, str):
            raise ConfigurationError(f"{where}: {_TEXT}: a text expected")
        yield query_id, text


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield where each record stands, and the record."""
    if is_parquet(path):
        yield from _parquet_records(path, [name for name in (*_NAMES, _TEXT) if name in _columns(path)])
        return
    with open_source(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield where, _object(line, where)


def _columns(path: Path) -> list[str]:
    with opened(path) as file:
        return list(file.schema_arrow.names)


def _parquet_records(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    with opened(path) as file:
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
            for record in batch.to_pylist():
                row += 1
                yield f"{path}, row {row}", record


def _object(line: str | bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON: {error}") from None


def _row(record: Any, where: str) -> Row:
    values = [record.get(name) for name in _NAMES] if isinstance(record, Mapping) else [None] * 3
    query_id, document_id, grade = values
    # Ids may be numbers in a table that somebody else made.
    whole = all(isinstance(each, int | str) and not isinstance(each, bool) for each in (query_id, document_id))
    if not whole or not isinstance(grade, int):
        raise ConfigurationError(f"{where}: query_id, document_id and a whole number as grade expected")
    return str(query_id), str(document_id), checked_grade(int(grade), where)


def checked_grade(grade: int, where: str) -> int:
    """Return a grade that evaluators can count. Raises ConfigurationError, with `where`."""
    if abs(grade) > _LARGEST_GRADE:
        raise ConfigurationError(f"{where}: the grade {grade:,} is beyond {_LARGEST_GRADE:,}")
    return grade
