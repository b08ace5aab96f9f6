"""`requests`: rank_llm's lines come back with their candidates in the new order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.bulk.formats.answering import check_resumed, output
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.requests import RequestsFormat
from rerank_producer.bulk.formats.rows import ReadOptions, Row, WriteOptions

PLAIN = WriteOptions()


def line(*candidates: Any, query: Any = None, **more: Any) -> dict[str, Any]:
    return {"query": query or {"text": "red fox", "qid": 7}, "candidates": list(candidates), **more}


def candidate(name: str | int, doc: Any, score: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {"docid": name, "score": score, "doc": doc, **more}


def form(
    folder: Path, *lines: Any, depth: int | None = None, write: WriteOptions = PLAIN, **defaults: Any
) -> RequestsFormat:
    path = folder / "requests.jsonl"
    path.write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    return RequestsFormat(path, ReadOptions(defaults, depth), write)


def rows(form: RequestsFormat) -> list[Row]:
    return [row for chunk in form.read(Position()) for row in chunk.rows]


def records(form: RequestsFormat) -> list[dict[str, Any]]:
    written, _ = output(form, list(form.read(Position())))
    return [json.loads(line) for line in written.splitlines()]


def test_candidates_come_back_in_the_new_order(tmp_path: Path) -> None:
    dog, fox = candidate(1, {"text": "a dog"}, 9, note="x"), candidate("f", {"text": "red fox"}, 8)
    (found,) = records(form(tmp_path, line(dog, fox, run="bm25")))
    assert found == {
        "query": {"text": "red fox", "qid": 7},
        "candidates": [{**fox, "score": 4.0}, {**dog, "score": -4.0}],
        "run": "bm25",
    }


@pytest.mark.parametrize(
    ("doc", "text"),
    [
        ("plain", "plain"),
        ({"title": "A title", "text": "and a text"}, "A title and a text"),
        ({"title": None, "contents": "a text", "passage": "another"}, "a text"),
        ({"title": "", "segment": "of a page", "url": "x"}, "of a page"),
        ({"passage": "last"}, "last"),
    ],
)
def test_the_text_of_a_document(tmp_path: Path, doc: Any, text: str) -> None:
    (row,) = rows(form(tmp_path, line(candidate("d", doc))))
    assert row.request is not None
    assert row.request.contents() == [text]
    assert row.request.query == "red fox"


def test_scores_of_candidates_are_first_stage_scores(tmp_path: Path) -> None:
    both = line(candidate("a", "red fox", 1), candidate("b", "red fox", 9), candidate("c", "red", None))
    (found,) = records(form(tmp_path, both, fusion="zscore"))
    assert [each["docid"] for each in found["candidates"]] == ["b", "a", "c"]


def test_candidates_behind_the_depth_stand_below(tmp_path: Path) -> None:
    many = line(*(candidate(name, text) for name, text in [("a", "x"), ("b", "red fox"), ("c", "red fox")]))
    (found,) = records(form(tmp_path, many, depth=2))
    assert [(each["docid"], each["score"]) for each in found["candidates"]] == [("b", 4.0), ("a", -4.0), ("c", -5.0)]
    (cut,) = records(form(tmp_path, many, write=WriteOptions(top_n=1, score_only=True)))
    assert cut == {"query": many["query"], "candidates": [{"docid": "b", "score": 4.0}]}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"candidates": []}, "query: a text"),
        ({"query": "q"}, "candidates: a list"),
        (line("a"), "candidates.0: an object"),
        (line(candidate("a", "t"), {"doc": "x"}), "candidates.1.docid"),
        (line(candidate("a", 1)), "candidates.0.doc: an object"),
        (line(candidate("a", {"url": "x"})), "candidates.0.doc: it has none of the fields text, segment"),
        (line(candidate("a", {"text": None})), "candidates.0.doc.text: a text expected"),
        (line(candidate("a", {"text": "t", "title": 3})), "candidates.0.doc.title: a text expected"),
        (line(candidate("a", "t", "high")), "documents.0.score: a finite number"),
        (["a"], "an object with `query` and `candidates` expected"),
    ],
)
def test_a_line_that_is_wrong_is_told(tmp_path: Path, bad: Any, message: str) -> None:
    found = form(tmp_path, bad, line(candidate("a", "t")))
    written, failed = output(found, list(found.read(Position())))
    assert len(written.splitlines()) == 1
    (told,) = map(json.loads, failed.splitlines())
    assert message in told["error"]["message"]
    assert json.loads(told["input"]) == bad


@settings(max_examples=30)
@given(counts=st.lists(st.integers(0, 4), max_size=8), size=st.integers(1, 300))
def test_a_run_may_be_cut_behind_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], size: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    lines = [line(*(candidate(n, "red" * (n % 2)) for n in range(count))) if count else "bad" for count in counts]
    found = check_resumed(lambda: form(folder, *lines), size)
    assert sum(len(chunk.rows) for chunk in found) == len(counts)
