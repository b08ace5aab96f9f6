"""Whole runs of formats that are more than a request a line: they go on to the same bytes, and rows fail as a whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producer.conftest import Echo
from producer.echo_worker import logit
from rerank_producer.bulk.bulk_run import Summary, carry_out
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.guess import Files, format_named
from rerank_producer.bulk.formats.rows import Format, ReadOptions, RowChunk, WriteOptions
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.contract.activation import sigmoid


class Killed(Exception):
    """The end of a command."""


def made(source: Path, **files: Any) -> Any:
    form: Any = format_named(None, str(source), Files(**files), ReadOptions(), WriteOptions())
    form.chunk_bytes, form.chunk_pairs = 150, 3
    return form


def start(echo: Echo, form: Format, output: Path) -> Summary:
    return asyncio.run(carry_out(BulkSpec(form, output, ReadOptions(), WriteOptions()), settings=echo.settings))


def check_killed(echo: Echo, source: Path, folder: Path, **files: Any) -> bytes:
    """Check that a run that is killed again and again ends in the bytes of a whole one; return them."""
    start(echo, made(source, **files), folder / "whole")
    kills = 0
    while True:
        form = made(source, **files)
        read = form.read

        def some(start: Position, read: Any = read) -> Iterator[RowChunk]:
            for number, chunk in enumerate(read(start)):
                if number == 2:
                    raise Killed
                yield chunk

        form.read = some
        try:
            start(echo, form, folder / "killed")
        except Killed:
            kills += 1
            continue
        break
    assert kills > 1
    for suffix in ("", ".failed.jsonl"):
        killed, whole = ((folder / f"{name}{suffix}") for name in ("killed", "whole"))
        assert killed.exists() == whole.exists()
        assert not whole.exists() or killed.read_bytes() == whole.read_bytes()
    return (folder / "whole").read_bytes()


def test_parquet(echo: Echo, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    queries = [f"pq {n // 3}" for n in range(24)]
    queries[6:9] = ["fail pq"] * 3
    texts = [f"text {n}" for n in range(24)]
    pq.write_table(pa.table({"query": queries, "text": texts}), source, row_group_size=5)
    whole = pq.read_table(pa.BufferReader(check_killed(echo, source, tmp_path)))
    assert whole.column("text").to_pylist() == texts
    scores = whole.column("rerank_score").to_pylist()
    assert scores[6:9] == [None] * 3
    assert scores[:6] == [logit(query, text) for query, text in zip(queries[:6], texts[:6], strict=True)]
    assert whole.column("rerank_error").to_pylist()[6].startswith("scoring_failed: ")


def test_a_run_of_trec(echo: Echo, tmp_path: Path) -> None:
    source, queries, corpus = (tmp_path / name for name in ("in.trec", "queries.tsv", "corpus.tsv"))
    queries.write_text("".join(f"q{n}\ttrec {n}\n" for n in range(12)))
    corpus.write_text("".join(f"d{n}\ttext {n}\n" for n in range(6)))
    source.write_text("".join(f"q{n} Q0 d{k} 1 {-k} x\n" for n in range(13) for k in range(6)))
    run = check_killed(echo, source, tmp_path, queries=queries, corpus=corpus, index=tmp_path / "index")
    lines = [line.split() for line in run.decode().splitlines()]
    assert len(lines) == 12 * 6
    for n in range(12):
        written = [float(line[4]) for line in lines if line[0] == f"q{n}"]
        assert written == pytest.approx(sorted((logit(f"trec {n}", f"text {k}") for k in range(6)), reverse=True))


def line(number: int, first: list[str]) -> str:
    body = {"text_1": first, "text_2": ["a", "b", "c"]}
    return json.dumps({"custom_id": f"{number}", "method": "POST", "url": "/v1/score", "body": body}) + "\n"


def test_a_batch_whose_lines_ask_several_queries(echo: Echo, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    lines = [line(n, [f"one {n}", f"two {n}", f"one {n}"]) for n in range(10)]
    lines[4] = line(4, ["fine", "fail here", "fine"])
    lines[5] = line(5, ["fail here", "fine", "fine"])
    source.write_text("".join(lines))
    answers = [json.loads(each) for each in check_killed(echo, source, tmp_path).splitlines()]
    assert [each["custom_id"] for each in answers] == ["0", "1", "2", "3", "6", "7", "8", "9"]
    scores = [each["score"] for each in answers[1]["response"]["body"]["data"]]
    pairs = [("one 1", "a"), ("two 1", "b"), ("one 1", "c")]
    assert scores == [pytest.approx(sigmoid(logit(*pair))) for pair in pairs]
    failed = [json.loads(each) for each in (tmp_path / "whole.failed.jsonl").read_text().splitlines()]
    assert [(each["custom_id"], each["error"]["code"]) for each in failed] == [
        ("4", "scoring_failed"),
        ("5", "scoring_failed"),
    ]


def test_counts_are_of_lines_and_of_all_their_pairs(echo: Echo, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(line(1, ["count a", "count b", "count c"]) + line(2, ["fine count", "fail count", "count"]))
    totals = start(echo, made(source), tmp_path / "out").totals
    assert (totals.queries, totals.failed_queries) == (2, 1)
    assert totals.pairs_run + totals.pairs_cached == 4
