"""The format of an input, by the name that was given or else by what the input is: its name and its first line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.parquet import MAGIC
from rerank_producer.bulk.files.sources import name_of_input, open_source, plain_name, shown
from rerank_producer.bulk.formats.batch import BatchFormat
from rerank_producer.bulk.formats.chunks import LINE_BYTES
from rerank_producer.bulk.formats.files import move
from rerank_producer.bulk.formats.jsonl import JsonlFormat
from rerank_producer.bulk.formats.parquet.assembly import assemble
from rerank_producer.bulk.formats.parquet.format import ParquetFormat
from rerank_producer.bulk.formats.requests import RequestsFormat
from rerank_producer.bulk.formats.rows import Format, ReadOptions, WriteOptions
from rerank_producer.bulk.formats.runs.run_lines import Parse, msmarco_line, trec_line
from rerank_producer.bulk.formats.runs.trec import beir, beir_files, msmarco, opened_texts, trec
from rerank_producer.bulk.texts.text_store import Progress
from rerank_shared.errors import InputRefused, InvalidRequest

#: As `--format` spells them.
FORMATS = ("jsonl", "requests", "batch", "trec", "beir", "parquet", "msmarco")
#: How standard input is spelled.
STANDARD_INPUT = "-"
_LISTED = ", ".join(FORMATS)


@dataclass(frozen=True, slots=True)
class Files:
    """What is read beside the input.

    - `queries` and `corpus`: texts by id, for runs and pairs.
    - `run`: the candidates of a BEIR directory.
    - `index`: the directory in which texts are looked up (default: in the user's cache). `progress` hears of their
      records while they are read into it.
    - `columns`: columns of a Parquet file by what they are, where they have other names.
    """

    queries: Path | None = None
    corpus: Path | None = None
    run: Path | None = None
    index: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = lambda records: None


def format_named(
    name: str | None,
    source: str,
    files: Files,
    options: ReadOptions,
    write: WriteOptions,
    max_length: int | None = None,
) -> Format:
    """Return the format of a name, or for None that of the input, where "-" is standard input.

    `max_length` is that of the model, if it is known. Opens the texts of a run, which takes a while the first time.
    Raises InputRefused, ConfigurationError, OSError.
    """
    path = None if source == STANDARD_INPUT else Path(source)
    name = name or guessed(path)
    if name == "jsonl":
        return JsonlFormat(path, options, write)
    if name == "requests":
        return RequestsFormat(path, options, write)
    if name == "batch":
        return BatchFormat(path, options, write, max_length)
    if name == "parquet":
        return ParquetFormat(path, options, write, files.columns)
    if name in ("trec", "msmarco"):
        return _run(name, path, files, options, write)
    if name == "beir":
        return _beir(path, files, options, write)
    raise InputRefused(f"format: {name!r} is none; one of {_LISTED} expected")


def assembler_of(name: str) -> Callable[[Path, Path], None]:
    """Return what makes a format's output of a part of it, without its input."""
    return assemble if name == "parquet" else move


def guessed(path: Path | None) -> str:
    """Return the name of an input's format. Raises InputRefused, which shows what it begins with, OSError."""
    if path is None:
        raise InputRefused(f"standard input: its format can't be guessed; give --format, one of {_LISTED}")
    if path.is_dir():
        return "beir"
    if plain_name(path).endswith(".parquet"):
        return "parquet"
    with open_source(path) as stream:
        line = b"\n"
        while line and not line.strip():
            line = stream.readline(LINE_BYTES)
    name = _of_line(line.strip())
    if name is None:
        raise InputRefused(
            f"{path}: its format can't be guessed; it begins with {shown(line)}. Give --format, one of {_LISTED}"
        )
    return name


def _of_line(line: bytes) -> str | None:
    """Return the name of the format that has such a line; None where none has."""
    if line.startswith(MAGIC):
        return "parquet"
    if line.startswith(b"{"):
        return _of_object(line)
    # Of six fields, or five without a tag, a run has a score where pairs have none.
    return next((name for name, parse in (("trec", trec_line), ("msmarco", msmarco_line)) if _fits(parse, line)), None)


def _of_object(line: bytes) -> str | None:
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    # A request without documents is one all the same, so that what is said is what it lacks.
    by_field = {"custom_id": "batch", "candidates": "requests", "documents": "jsonl", "query": "jsonl"}
    return next((name for told_by, name in by_field.items() if told_by in record), None)


def _fits(parse: Parse, line: bytes) -> bool:
    try:
        parse(line)
    except InvalidRequest:
        return False
    return True


def _run(name: str, path: Path | None, files: Files, options: ReadOptions, write: WriteOptions) -> Format:
    if files.queries is None or files.corpus is None:
        missing = "queries" if files.queries is None else "corpus"
        raise InputRefused(f"{missing}: the format {name} names texts by id; give --queries and --corpus")
    texts = opened_texts(files.queries, files.corpus, files.index, files.progress)
    return (trec if name == "trec" else msmarco)(path, texts, options, write)


def _beir(path: Path | None, files: Files, options: ReadOptions, write: WriteOptions) -> Format:
    if path is None or not path.is_dir():
        raise InputRefused(
            f"{name_of_input(path)}: the format beir is of a directory with corpus.jsonl and queries.jsonl"
        )
    queries, corpus = beir_files(path)
    if files.run is None:
        raise InputRefused(f"{path}: the format beir needs a run of a first stage beside the directory")
    texts = opened_texts(files.queries or queries, files.corpus or corpus, files.index, files.progress)
    return beir(files.run, texts, options, write)
