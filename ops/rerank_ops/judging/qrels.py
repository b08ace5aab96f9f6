"""Judgements of a labelled set: {query id: {document id: grade}}, from a file in one of the usual layouts.

BEIR    query-id, corpus-id, score, with tabs between them, mostly behind a header line
TREC    query id, iteration, document id, grade, with any white space between them
tables  Parquet, or JSONL, with query_id, document_id and grade, as `rerank-fleet feedback export` writes them
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rerank_ops.judging.qrel_tables import is_parquet, json_judgement, parquet_judgements
from rerank_shared.errors import ConfigurationError

Qrels = dict[str, dict[str, int]]
#: Query id, document id, grade.
Judgement = tuple[str, str, int]


def read_qrels(path: Path) -> Qrels:
    """Return the judgements of queries that have a positive one. Raises ConfigurationError, with file and line."""
    grades: Qrels = {}
    for query_id, document_id, grade in judgements(path):
        grades.setdefault(query_id, {})[document_id] = grade
    return {query_id: judged for query_id, judged in grades.items() if max(judged.values()) > 0}


def judgements(path: Path) -> Iterator[Judgement]:
    """Yield all judgements of a file, as they stand. Raises ConfigurationError, with file and line."""
    if is_parquet(path):
        yield from parquet_judgements(path)
        return
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and _is_header(line)):
            continue
        if line.startswith("{"):
            yield json_judgement(line, f"{path}, line {number}")
            continue
        try:
            query_id, document_id, grade = _fields(line)
            yield query_id, document_id, int(grade)
        except ValueError:
            raise ConfigurationError(
                f"{path}, line {number}: query-id, corpus-id and score expected, got {line!r}"
            ) from None


def _fields(line: str) -> tuple[str, str, str]:
    """Return query id, document id and grade. Raises ValueError."""
    if line.count("\t") == 2:
        query_id, document_id, grade = line.split("\t")
    else:
        query_id, _, document_id, grade = line.split()
    return query_id, document_id, grade


def _is_header(line: str) -> bool:
    columns = line.split("\t")
    return len(columns) == 3 and not columns[2].strip().lstrip("-").isdecimal()
