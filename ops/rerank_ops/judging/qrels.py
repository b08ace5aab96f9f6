"""Judgements of a labelled set: {query id: {document id: grade}}, from a file in one of the usual layouts.

BEIR    query-id, corpus-id, score, with tabs between them, mostly behind a header line
TREC    query id, iteration, document id, grade, with any white space between them
tables  Parquet, or JSONL, with query_id, document_id and grade, as `rerank-fleet feedback export` writes them

A name that ends in `.gz` or `.zst` says that a file of lines is compressed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from rerank_ops.judging.qrel_tables import checked_grade, is_parquet, json_judgement, parquet_judgements
from rerank_producer.bulk.files.sources import open_source
from rerank_producer.bulk.formats.runs.trec import file_in
from rerank_shared.errors import ConfigurationError

Qrels = dict[str, dict[str, int]]
#: Where they stand in a directory in the layout of BEIR; `.gz` or `.zst` may follow.
QRELS = ("qrels/test.tsv", "qrels.tsv")
#: Query id, document id, grade.
Judgement = tuple[str, str, int]


def qrels_in(directory: Path) -> Path | None:
    """Return the file of judgements to test on of a directory in the layout of BEIR; None where there is none."""
    return file_in(directory, *QRELS)


def read_qrels(path: Path) -> Qrels:
    """Return the judgements of queries that have a positive one. Raises ConfigurationError, with file and line."""
    grades: Qrels = {}
    for query_id, document_id, grade in judgements(path):
        grades.setdefault(query_id, {})[document_id] = grade
    return {query_id: judged for query_id, judged in grades.items() if max(judged.values()) > 0}


def judgements(path: Path) -> Iterator[Judgement]:
    """Yield all judgements of a file, as they stand.

    Raises ConfigurationError, with file and line; InputRefused for a compressed file that is damaged; OSError.
    """
    if is_parquet(path):
        yield from parquet_judgements(path)
        return
    try:
        with open_source(path) as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    # Lines end where files say so: `str.splitlines` would also part a text in JSON at U+2028.
    for number, ended in enumerate(io.StringIO(text, newline=None), start=1):
        line, where = ended.removesuffix("\n"), f"{path}, line {number}"
        if not line.strip() or (number == 1 and _is_header(line)):
            continue
        if line.startswith("{"):
            yield json_judgement(line, where)
            continue
        try:
            query_id, document_id, spelled = _fields(line)
            grade = int(spelled)
        except ValueError:
            raise ConfigurationError(
                f"{where}: query-id, corpus-id and score expected, with tabs between them and a whole number as score, "
                f"or the four columns of TREC, got {line!r}"
            ) from None
        yield query_id, document_id, checked_grade(grade, where)


def _fields(line: str) -> tuple[str, str, str]:
    """Return query id, document id and grade. Raises ValueError."""
    if line.count("\t") == 2:
        query_id, document_id, grade = line.split("\t")
    else:
        query_id, _, document_id, grade = line.split()
    return query_id, document_id, grade


def _is_header(line: str) -> bool:
    columns = line.split("\t")
    if len(columns) != 3:
        return False
    try:
        float(columns[2])
    except ValueError:
        return True
    # A judgement, though one with a wrong grade.
    return False
