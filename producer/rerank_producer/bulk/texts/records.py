"""Records of a file of texts, whichever of the usual layouts it has. What it begins with tells them apart.

    TSV      id, a tab, the text                     MS MARCO's collection.tsv and queries.tsv
    JSONL    {"_id", "title", "text"} a line         BEIR; also `id` or `docid`, and `contents` as Pyserini has it
    Parquet  columns of these names

Title and text are joined as BEIR does: the title, a blank, the text, and no white space around them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.parquet import MAGIC, opened
from rerank_producer.bulk.files.sources import open_source, shown
from rerank_shared.contract.schemas import encodable
from rerank_shared.errors import InputRefused

ID_NAMES = ("_id", "id", "docid", "query_id", "qid")
TEXT_NAMES = ("text", "contents")
TITLE_NAME = "title"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BATCH_ROWS = 4_096
#: Its line or row from 1, its id and its text.
Record = tuple[int, str, str]
#: Its line or row from 1, its id, its title (empty where it has none) and its text.
TitledRecord = tuple[int, str, str, str]


def joined(title: str | None, text: str) -> str:
    """Return the text that stands for a title and a text, as BEIR joins them."""
    return f"{title or ''} {text}".strip()


def text_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file. Raises InputRefused with file and line, OSError, ConfigurationError."""
    return ((number, name, joined(title, text)) for number, name, title, text in titled_records(path))


def titled_records(path: Path) -> Iterator[TitledRecord]:
    """Yield the records of a file with title and text apart. Raises as `text_records`."""
    with open_source(path) as stream:
        head = stream.readline()
        if head.startswith(MAGIC):
            yield from _of_parquet(path)
            return
        numbered = enumerate(chain([head.removeprefix(_BYTE_ORDER_MARK)], stream), start=1)
        lines = ((number, line.rstrip(b"\r\n")) for number, line in numbered if line.strip())
        first = next(lines, None)
        if first is None:
            return
        if first[1].lstrip().startswith(b"{"):
            kind = _of_json
        elif b"\t" in first[1]:
            kind = _of_tsv
        else:
            raise InputRefused(
                f"{path}: lines of id, tab, text, or of JSON, or a Parquet file expected; it begins with "
                f"{shown(first[1])}"
            )
        for number, line in chain([first], lines):
            try:
                name, title, text = kind(line)
            except (ValueError, RecursionError) as error:
                raise InputRefused(f"{path}, line {number}: {error}") from None
            yield number, encodable(name), encodable(title), encodable(text)


def _of_tsv(line: bytes) -> tuple[str, str, str]:
    """Return id, no title, and text of a line. Raises ValueError."""
    name, tab, text = line.decode().partition("\t")
    if not name or not tab:
        raise ValueError("an id, a tab and a text expected")
    return name, "", text.strip()


def _of_json(line: bytes) -> tuple[str, str, str]:
    """Return id, title and text of a line. Raises ValueError."""
    try:
        record: Any = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError("an object with `_id` and `text` expected")
    return _parts(record, _id_name(record), _name_in(record, TEXT_NAMES))


def _parts(record: Mapping[str, Any], id_name: str, text_name: str) -> tuple[str, str, str]:
    """Return id, title and text of a record. Raises ValueError."""
    name, text, title = record[id_name], record[text_name], record.get(TITLE_NAME)
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise ValueError(f"{id_name}: a text or a whole number expected")
    if not isinstance(text, str):
        raise ValueError(f"{text_name}: a text expected")
    if title is not None and not isinstance(title, str):
        raise ValueError(f"{TITLE_NAME}: a text expected")
    return str(name), title or "", text


def _id_name(names: Mapping[str, Any] | Sequence[str]) -> str:
    """Return the name of the id. Raises ValueError, also for judgements, whose texts are not those of their ids."""
    name = _name_in(names, ID_NAMES)
    if name == "query_id" and "document_id" in names:
        raise ValueError("query_id and document_id are there: these are judgements, and texts by id are expected")
    return name


def _name_in(names: Mapping[str, Any] | Sequence[str], wanted: Sequence[str]) -> str:
    """Return the first of the wanted names that is there. Raises ValueError."""
    for name in wanted:
        if name in names:
            return name
    raise ValueError(f"none of the fields {', '.join(wanted)} is there")


def _of_parquet(path: Path) -> Iterator[TitledRecord]:
    with opened(path) as file:
        names = file.schema_arrow.names
        try:
            id_name, text_name = _id_name(names), _name_in(names, TEXT_NAMES)
        except ValueError as error:
            raise InputRefused(f"{path}: {error}; its columns are {', '.join(names)}") from None
        columns = [id_name, text_name, *([TITLE_NAME] if TITLE_NAME in names else [])]
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
            for record in batch.to_pylist():
                row += 1
                try:
                    name, title, text = _parts(record, id_name, text_name)
                except ValueError as error:
                    raise InputRefused(f"{path}, row {row}: {error}") from None
                yield row, name, title, text
