"""Whole runs against a real server and a worker that makes scores up: what is written, and when a run goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.conftest import Echo
from producer.echo_worker import logit
from rerank_producer import InputRefused, OutputInUse, RunDiffers
from rerank_producer.bulk.bulk_run import Summary, carry_out
from rerank_producer.bulk.committed.lock import locked
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.jsonl import JsonlFormat
from rerank_producer.bulk.formats.rows import ReadOptions, RowChunk, WriteOptions
from rerank_producer.bulk.spec import BulkSpec


def rows(count: int, *, documents: int = 3, word: str = "row") -> list[dict[str, Any]]:
    return [
        {"id": f"q{n}", "query": f"{word} {n}", "documents": [f"{word} {n} text {k}" for k in range(documents)]}
        for n in range(count)
    ]


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


class SmallChunks(JsonlFormat):
    chunk_bytes = 400


def spec_of(source: Path, output: Path, **options: Any) -> BulkSpec:
    return BulkSpec(SmallChunks(source, ReadOptions(), WriteOptions()), output, **options)


def start(echo: Echo, spec: BulkSpec) -> Summary:
    return asyncio.run(carry_out(spec, settings=echo.settings))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_row_is_answered_in_order(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", rows(40))
    summary = start(echo, spec_of(source, tmp_path / "out.jsonl"))
    answers = read(tmp_path / "out.jsonl")
    assert [answer["id"] for answer in answers] == [f"q{n}" for n in range(40)]
    for n, answer in enumerate(answers):
        logits = [logit(f"row {n}", f"row {n} text {k}") for k in range(3)]
        assert [each["logit"] for each in answer["results"]] == sorted(logits, reverse=True)
    totals = summary.totals
    assert (totals.queries, totals.failed_queries, totals.pairs_run + totals.pairs_cached) == (40, 0, 120)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.journal"]


def test_a_finished_run_is_not_done_again(echo: Echo, tmp_path: Path) -> None:
    source, output = written(tmp_path / "in.jsonl", rows(5)), tmp_path / "out.jsonl"
    start(echo, spec_of(source, output))
    before = output.stat().st_mtime_ns
    assert start(echo, spec_of(source, output)).was_complete
    assert output.stat().st_mtime_ns == before


class Killed(Exception):
    """The end of a command."""


class Interrupted(SmallChunks):
    """Ends its command behind some chunks."""

    most = 2

    def read(self, start: Position) -> Iterator[RowChunk]:
        for number, chunk in enumerate(super().read(start)):
            if number >= self.most:
                raise Killed
            yield chunk


def test_an_interrupted_run_goes_on_to_the_same_bytes(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(12), {"query": "", "documents": ["no query"]}, *rows(12)])
    start(echo, spec_of(source, tmp_path / "whole.jsonl"))
    output = tmp_path / "out.jsonl"
    for _ in range(3):
        with pytest.raises(Killed):
            start(echo, replace(spec_of(source, output), format=Interrupted(source, ReadOptions(), WriteOptions())))
        assert not output.exists()
    summary = start(echo, spec_of(source, output))
    assert summary.earlier.queries > 0
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    failed = tmp_path / "out.jsonl.failed.jsonl"
    assert failed.read_bytes() == (tmp_path / "whole.jsonl.failed.jsonl").read_bytes()
    assert [line["line"] for line in read(failed)] == [13]


def test_other_options_are_listed_field_by_field(echo: Echo, tmp_path: Path) -> None:
    source, output = written(tmp_path / "in.jsonl", rows(30)), tmp_path / "out.jsonl"
    with pytest.raises(Killed):
        start(echo, replace(spec_of(source, output), format=Interrupted(source, ReadOptions(), WriteOptions())))
    with pytest.raises(RunDiffers) as refused:
        start(echo, replace(spec_of(source, output), write=WriteOptions(top_n=2), on_error="skip"))
    assert "on_error: was 'quarantine', is 'skip'" in refused.value.message
    assert "top_n: was None, is 2" in refused.value.message


def test_an_input_that_has_changed_is_told(echo: Echo, tmp_path: Path) -> None:
    source, output = written(tmp_path / "in.jsonl", rows(30)), tmp_path / "out.jsonl"
    with pytest.raises(Killed):
        start(echo, replace(spec_of(source, output), format=Interrupted(source, ReadOptions(), WriteOptions())))
    written(source, rows(31))
    with pytest.raises(RunDiffers, match="input bytes: was"):
        start(echo, spec_of(source, output))


def test_an_output_without_journal_stays(echo: Echo, tmp_path: Path) -> None:
    source, output = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"
    output.write_text("somebody's work")
    with pytest.raises(OutputInUse, match="--overwrite"):
        start(echo, spec_of(source, output))
    assert output.read_text() == "somebody's work"
    start(echo, spec_of(source, output, overwrite=True))
    assert len(read(output)) == 3


def test_an_input_is_not_its_own_output(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", rows(3))
    with pytest.raises(OutputInUse, match="is the input of this run"):
        start(echo, spec_of(source, source, overwrite=True))


def test_one_command_writes_an_output_at_a_time(echo: Echo, tmp_path: Path) -> None:
    source, output = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"
    with locked(output), pytest.raises(OutputInUse, match="another command, process"):
        start(echo, spec_of(source, output))
    start(echo, spec_of(source, output))


BAD: list[dict[str, Any]] = [
    {"query": "bad", "documents": "one text"},
    {"query": "fail now", "documents": ["a"]},
    {"documents": []},
]


def test_bad_rows_are_set_aside_with_their_reason(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(2), *BAD, *rows(1)])
    summary = start(echo, spec_of(source, tmp_path / "out.jsonl"))
    assert summary.totals.failed_queries == 3
    assert [line["line"] for line in read(tmp_path / "out.jsonl")] == [1, 2, 6]
    failed = read(tmp_path / "out.jsonl.failed.jsonl")
    assert [line["line"] for line in failed] == [3, 4, 5]
    assert [line["error"]["code"] for line in failed] == ["invalid_request", "scoring_failed", "invalid_request"]
    assert json.loads(failed[0]["input"]) == BAD[0]


def test_bad_rows_may_be_left_out(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(2), *BAD])
    assert start(echo, spec_of(source, tmp_path / "out.jsonl", on_error="skip")).totals.failed_queries == 3
    assert not (tmp_path / "out.jsonl.failed.jsonl").exists()


def test_a_bad_row_may_end_the_run(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(2), *BAD])
    with pytest.raises(InputRefused, match=r"row 3: documents"):
        start(echo, spec_of(source, tmp_path / "out.jsonl", on_error="fail"))


def test_many_bad_rows_end_the_run(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(2), *BAD])
    with pytest.raises(InputRefused, match="3 rows have failed, more than --max-errors 2"):
        start(echo, spec_of(source, tmp_path / "out.jsonl", max_errors=2))


def test_failed_rows_are_tried_again_and_the_others_kept(echo: Echo, tmp_path: Path) -> None:
    late = {"query": "late fail-until:mended", "documents": ["x", "y"]}
    source = written(tmp_path / "in.jsonl", [*rows(6), late, *rows(6), BAD[0], *rows(3)])
    output, failed = tmp_path / "out.jsonl", tmp_path / "out.jsonl.failed.jsonl"
    assert start(echo, spec_of(source, output)).totals.failed_queries == 2
    before = output.read_bytes().splitlines()
    echo.open_gate("mended")
    again = start(echo, spec_of(source, output, retry_failed=True))
    assert (again.was_complete, again.totals.failed_queries, again.totals.queries) == (False, 1, 17)
    after = output.read_bytes().splitlines()
    assert [line for line in after if line not in before] == after[6:7]
    assert [line["line"] for line in read(output)] == [n for n in range(1, 18) if n != 14]
    assert [line["line"] for line in read(failed)] == [14]
    assert not list(tmp_path.glob("*.previous"))


def test_the_first_rows_may_be_enough(echo: Echo, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", rows(30))
    assert start(echo, spec_of(source, tmp_path / "out.jsonl", limit_queries=7)).totals.queries == 7
    assert len(read(tmp_path / "out.jsonl")) == 7
