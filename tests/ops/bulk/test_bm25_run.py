"""BM25's run of a BEIR directory: its best documents, in the order that a run's score says, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_ops.bulk.first_stage import write_bm25_run
from rerank_producer.bulk.formats.rows import ReadOptions, WriteOptions
from rerank_producer.bulk.formats.runs.trec import beir, beir_files, opened_texts
from rerank_shared.errors import InputRefused

CORPUS = """{"_id": "d1", "title": "Foxes", "text": "a red fox"}
{"_id": "d2", "title": "", "text": "dogs and more dogs"}
{"_id": "d3", "text": "a red fox"}
{"_id": "d4", "text": "a red fox"}
"""
QUERIES = """{"_id": "q1", "text": "red fox"}
{"_id": "q2", "text": "zebra"}
{"_id": "q3", "text": "dogs"}
"""


def collection(folder: Path) -> Path:
    (folder / "corpus.jsonl").write_text(CORPUS)
    (folder / "queries.jsonl").write_text(QUERIES)
    return folder


def test_the_run_of_a_directory(tmp_path: Path) -> None:
    run = tmp_path / "bm25.trec"
    assert write_bm25_run(collection(tmp_path), run, 2) == 2
    lines = [line.split() for line in run.read_text().splitlines()]
    # d3 and d4 have one score; the first of them stands.
    assert [(line[0], line[2], line[3], line[5]) for line in lines] == [
        ("q1", "d3", "1", "bm25"),
        ("q1", "d4", "2", "bm25"),
        ("q3", "d2", "1", "bm25"),
    ]
    assert float(lines[0][4]) > float(lines[1][4])
    first = run.read_bytes()
    write_bm25_run(tmp_path, run, 2)
    assert run.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bm25.trec", "corpus.jsonl", "queries.jsonl"]


def test_the_format_beir_takes_it(tmp_path: Path) -> None:
    run = tmp_path / "bm25.trec"
    write_bm25_run(collection(tmp_path), run, 3)
    texts = opened_texts(*beir_files(tmp_path), tmp_path / "cache")
    assert beir(run, texts, ReadOptions(), WriteOptions()).survey() == 2


def test_a_directory_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no directory in the layout of BEIR"):
        write_bm25_run(tmp_path, tmp_path / "run", 2)
