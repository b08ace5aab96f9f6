"""Judgements as tables, Parquet or JSONL: a row has `query_id`, `document_id` and `grade`, and whatever else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.parquet import MAGIC, opened
from rerank_shared.errors import ConfigurationError

_NAMES = ("query_id", "document_id", "grade")
_BATCH_ROWS = 4_096
Row = tuple[str, str, int]


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def parquet_judgements(path: Path) -> Iterator[Row]:
    """Yield query id, document id and grade of each row. Raises ConfigurationError, with file and row."""
    with opened(path) as file:
        if lacking := [name for name in _NAMES if name not in file.schema_arrow.names]:
            raise ConfigurationError(f"{path}: a Parquet file of judgements has the columns {', '.join(lacking)} too")
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(_NAMES)):
            for record in batch.to_pylist():
                row += 1
                yield _row(record, f"{path}, row {row}")


def json_judgement(line: str, where: str) -> Row:
    """Return query id, document id and grade of a line of JSON. Raises ConfigurationError, with `where`."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON: {error}") from None
    return _row(record, where)


def _row(record: Any, where: str) -> Row:
    values = [record.get(name) for name in _NAMES] if isinstance(record, Mapping) else [None] * 3
    query_id, document_id, grade = values
    # Ids may be numbers in a table that somebody else made.
    whole = all(isinstance(each, int | str) and not isinstance(each, bool) for each in (query_id, document_id))
    if not whole or not isinstance(grade, int):
        raise ConfigurationError(f"{where}: query_id, document_id and a whole number as grade expected")
    return str(query_id), str(document_id), int(grade)
