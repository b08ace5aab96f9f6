"""The format of an input is told by what it is; one that can't be told is shown."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.guess import FORMATS, Files, assembler_of, format_named, guessed
from rerank_producer.bulk.formats.rows import Format, ReadOptions, WriteOptions
from rerank_shared.errors import InputRefused

LINES = {
    "jsonl": b'{"query": "q", "documents": ["a"]}',
    "requests": b'{"query": {"text": "q", "qid": 1}, "candidates": []}',
    "batch": b'{"custom_id": "a", "method": "POST", "url": "/v1/rerank", "body": {}}',
    "trec": b"q1 Q0 d1 1 9.5 bm25",
    "msmarco": b"q1\td1\t1",
}


def made(name: str | None, source: Path | str, **files: Any) -> Format:
    return format_named(name, str(source), Files(**files), ReadOptions(), WriteOptions())


@pytest.mark.parametrize("name", LINES)
def test_the_first_line_tells(tmp_path: Path, name: str) -> None:
    path = tmp_path / "input.txt.gz"
    path.write_bytes(gzip.compress(b"\n\n" + LINES[name] + b"\n"))
    assert guessed(path) == name
    queries, corpus = tmp_path / "queries.tsv", tmp_path / "corpus.tsv"
    queries.write_text("q1\tquery\n")
    corpus.write_text("d1\ttext\n")
    found = made(None, path, queries=queries, corpus=corpus, index=tmp_path / "cache")
    assert found.name == name
    assert len([row for chunk in found.read(Position()) for row in chunk.rows]) == 1


def test_files_of_parquet_and_directories(tmp_path: Path) -> None:
    path = tmp_path / "input"
    pq.write_table(pa.table({"query": ["q"], "text": ["t"]}), path)
    assert made(None, path).name == "parquet"
    assert guessed(tmp_path / "absent.parquet") == "parquet"
    assert guessed(tmp_path) == "beir"


def test_a_directory_of_beir_needs_a_run(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "query"}')
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "text"}')
    run = tmp_path / "run"
    run.write_bytes(LINES["trec"])
    index = tmp_path / "cache"
    found = made(None, tmp_path, run=run, index=index)
    assert (found.name, found.inputs()["input"]) == ("beir", run)
    with pytest.raises(InputRefused, match="needs a run of a first stage"):
        made("beir", tmp_path, index=index)
    with pytest.raises(InputRefused, match="of a directory"):
        made("beir", run, index=index)


@pytest.mark.parametrize("line", [b"", b"one", b'{"text": 1}', b'{"cut', b"\xff\xfe", b"a b c d e f g h"])
def test_what_can_t_be_told_is_shown(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "input"
    path.write_bytes(line + b"\n")
    with pytest.raises(InputRefused) as refused:
        guessed(path)
    assert all(name in refused.value.message for name in FORMATS)
    assert repr(line)[2:-1] in refused.value.message


def test_a_request_that_lacks_its_documents_is_one(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b'{"query": "q"}')
    assert guessed(path) == "jsonl"


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="standard input: its format can't be guessed; give --format"):
        made(None, "-")
    assert made("jsonl", "-").inputs() == {"input": None}
    with pytest.raises(InputRefused, match="format: 'csv' is none; one of jsonl, "):
        made("csv", "-")
    with pytest.raises(InputRefused, match="corpus: the format msmarco names texts by id; give --queries and --corpus"):
        made("msmarco", "pairs.tsv", queries=tmp_path / "queries.tsv")


def test_a_part_of_an_output_is_assembled_without_the_input(tmp_path: Path) -> None:
    part, target = tmp_path / "part", tmp_path / "out"
    part.write_bytes(b"lines")
    assembler_of("trec")(part, target)
    assert target.read_bytes() == b"lines"
    table = pa.table({"query": ["q"]})
    part.write_bytes(table.schema.serialize().to_pybytes() + table.to_batches()[0].serialize().to_pybytes())
    assembler_of("parquet")(part, target)
    assert pq.read_table(target).to_pydict() == {"query": ["q"]}
    part.touch()
    with pytest.raises(InputRefused, match="no row is committed so far"):
        assembler_of("parquet")(part, target)
