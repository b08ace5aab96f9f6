"""`jsonl`: requests a line in, results a line out, wherever a run is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.bulk.formats.answering import MODEL, answers, check_resumed, output
from rerank_producer.bulk.formats import chunks
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.jsonl import JsonlFormat
from rerank_producer.bulk.formats.rows import ReadOptions, Row, WriteOptions
from rerank_shared.errors import InputRefused

OPTIONS = ReadOptions(defaults={"model": MODEL})
PLAIN = WriteOptions()


def form(folder: Path, *lines: Any, options: ReadOptions = OPTIONS, write: WriteOptions = PLAIN) -> JsonlFormat:
    path = folder / "input.jsonl"
    path.write_bytes(b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines))
    return JsonlFormat(path, options, write)


def rows(form: JsonlFormat) -> list[Row]:
    return [row for chunk in form.read(Position()) for row in chunk.rows]


def records(form: JsonlFormat) -> list[dict[str, Any]]:
    written, _ = output(form, list(form.read(Position())))
    return [json.loads(line) for line in written.splitlines()]


def failures(form: JsonlFormat) -> list[dict[str, Any]]:
    _, failed = output(form, list(form.read(Position())))
    return [json.loads(line) for line in failed.splitlines()]


def test_results_stand_best_first(tmp_path: Path) -> None:
    documents = ["a dog", {"id": "d1", "text": "the red fox", "metadata": {"page": 3}}]
    found = records(form(tmp_path, {"id": "7", "query": "red fox", "documents": documents}))
    assert found == [
        {
            "line": 1,
            "id": "7",
            "results": [
                {
                    "index": 1,
                    "id": "d1",
                    "relevance_score": pytest.approx(0.98, abs=0.01),
                    "logit": 4.0,
                    "tokens": 8,
                    "truncated": False,
                    "metadata": {"page": 3},
                },
                {
                    "index": 0,
                    "relevance_score": pytest.approx(0.02, abs=0.01),
                    "logit": -4.0,
                    "tokens": 7,
                    "truncated": False,
                },
            ],
            "model": MODEL,
        }
    ]


def test_a_line_s_own_options_come_first(tmp_path: Path) -> None:
    documents = ["a", "b", "c"]
    found = records(
        form(
            tmp_path,
            {"query": "c", "documents": documents, "top_n": 1, "class": "interactive", "deadline_ms": 1},
            {"query": "c", "documents": documents},
            write=WriteOptions(top_n=2),
        )
    )
    assert [[result["index"] for result in each["results"]] for each in found] == [[2], [2, 0]]
    (row, _) = rows(form(tmp_path, {"query": "c", "documents": documents, "deadline_ms": 1}, {"query": "c"}))
    assert row.request is not None


def test_first_stage_scores_count(tmp_path: Path) -> None:
    line = {"query": "a", "documents": ["a", "b"], "scores": [1, 9], "fusion": "zscore", "fusion_weight": 5}
    (found,) = records(form(tmp_path, line))
    assert [(each["index"], each["first_stage_score"]) for each in found["results"]] == [(1, 9.0), (0, 1.0)]
    assert found["results"][0]["fused_score"] > found["results"][1]["fused_score"]
    (scores,) = records(form(tmp_path, line, write=WriteOptions(score_only=True)))
    assert scores == {"line": 1, "scores": [found["results"][1]["fused_score"], found["results"][0]["fused_score"]]}


def test_documents_behind_the_depth_follow_without_scores(tmp_path: Path) -> None:
    line = {"query": "b", "documents": ["a", "b", {"id": "x", "text": "b"}], "scores": [3, 2, 1]}
    options = ReadOptions(OPTIONS.defaults, depth=2)
    (found,) = records(form(tmp_path, line, options=options))
    assert [each["index"] for each in found["results"]] == [1, 0, 2]
    assert found["results"][2] == {"index": 2, "id": "x"}
    (scores,) = records(form(tmp_path, line, options=options, write=WriteOptions(score_only=True)))
    assert scores["scores"] == [-4.0, 4.0, None]


def test_bad_lines_are_told_and_stop_nothing(tmp_path: Path) -> None:
    bad = form(
        tmp_path,
        b"\xff{",
        b"",
        {"query": "q", "documents": ["a"], "model": "another"},
        {"query": "q", "documents": ["a"], "id": 1.5},
        b"[" * 100_000,
        {"query": "q", "documents": ["a"], "model": MODEL},
    )
    assert [each["line"] for each in records(bad)] == [6]
    found = failures(bad)
    assert [each["line"] for each in found] == [1, 3, 4, 5]
    assert [each["error"]["code"] for each in found] == ["invalid_request", "unknown_model", *["invalid_request"] * 2]
    assert "one model" in found[1]["error"]["message"]
    assert found[0]["input"] == "\ufffd{"
    assert json.loads(found[1]["input"])["model"] == "another"


def test_half_a_surrogate_pair_comes_back(tmp_path: Path) -> None:
    (found,) = records(form(tmp_path, rb'{"id": "\ud800", "query": "q", "documents": ["a"]}'))
    assert found["id"] == "\ud800"


def test_a_file_without_line_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "LINE_BYTES", 10)
    with pytest.raises(InputRefused, match=r"input.jsonl: row 1 has more"):
        rows(form(tmp_path, b"x" * 20))


def test_an_answer_holds_nothing_that_differs_between_runs(tmp_path: Path) -> None:
    found = form(tmp_path, {"query": "q", "documents": ["a"]})
    assert output(found, list(found.read(Position()))) == output(found, list(found.read(Position())))


LINES = st.lists(
    st.one_of(
        st.just(b""),
        st.just(b"no JSON"),
        st.builds(
            lambda query, documents: json.dumps({"query": query, "documents": documents}).encode(),
            st.sampled_from(["a", "b c"]),
            st.lists(st.sampled_from(["a", "b", "c d"]), max_size=4),
        ),
    ),
    max_size=8,
)


@settings(max_examples=30)
@given(lines=LINES, size=st.integers(1, 200))
def test_a_run_may_be_cut_behind_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    found = check_resumed(lambda: form(folder, *lines), size)
    assert sum(len(chunk.rows) for chunk in found) == sum(bool(line) for line in lines)


def test_the_output_is_moved_once(tmp_path: Path) -> None:
    part, target = tmp_path / "out.part", tmp_path / "out"
    part.write_bytes(b"whole")
    found = form(tmp_path)
    for _ in range(2):
        found.assemble(part, target)
        assert target.read_bytes() == b"whole"
    assert not part.exists()
    target.unlink()
    with pytest.raises(FileNotFoundError):
        found.assemble(part, target)


def test_answers_are_the_fleet_s(tmp_path: Path) -> None:
    (answered,) = answers(rows(form(tmp_path, {"query": "q", "documents": []})))
    assert answered.row.request is not None
    assert records(form(tmp_path, {"query": "q", "documents": []}))[0]["results"] == []
