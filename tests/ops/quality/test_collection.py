"""Collections in the layout of BEIR: read whole, candidates found, and what is wrong told with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerank_ops.quality.collection import K, load_collection
from rerank_shared.errors import ConfigurationError
from support.model.collections import QUERIES, write_collection


@pytest.fixture(params=[False, True], ids=["beir", "flat"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_collection(tmp_path / "tiny", flat=request.param)


def test_queries_with_an_answer_get_their_candidates(directory: Path) -> None:
    collection = load_collection(directory)
    assert collection.name == "tiny"
    assert [task.query_id for task in collection.tasks] == ["q1", "q2"]
    assert collection.qrels == {"q1": {"d1": 1}, "q2": {"d3": 2, "d2": 1, "d1": 0}}
    berlin, potato = collection.tasks
    assert berlin.query == QUERIES["q1"]
    assert berlin.candidates[0].id == "d1"
    assert berlin.candidates[0].text == "Berlin The capital of Germany has four million people."
    # BM25's order; what shares no word is no candidate.
    assert [candidate.id for candidate in potato.candidates] == ["d3", "d2"]
    assert potato.candidates[1].text == "A potato is a vegetable."


def test_no_more_than_fifty_candidates(tmp_path: Path) -> None:
    directory = write_collection(tmp_path / "large")
    lines = [json.dumps({"_id": f"d{i}", "text": f"potato number {i}"}) for i in range(K + 20)]
    (directory / "corpus.jsonl").write_text("\n".join(lines))
    (task,) = (task for task in load_collection(directory).tasks if task.query_id == "q2")
    assert len(task.candidates) == K == 50


def test_a_limit_takes_the_same_queries_each_time(tmp_path: Path) -> None:
    names = {f"q{i}": "boil a potato" for i in range(40)}
    directory = write_collection(tmp_path / "many", names, {name: {"d3": 1} for name in names})
    chosen = [task.query_id for task in load_collection(directory, 10).tasks]
    assert chosen == [task.query_id for task in load_collection(directory, 10).tasks]
    assert len(chosen) == len(set(chosen)) == 10
    assert chosen != sorted(names)[:10]
    assert set(load_collection(directory, 10).qrels) == set(chosen)
    assert len(load_collection(directory, 1000).tasks) == 40


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    directory = write_collection(tmp_path / "tiny")
    (directory / name).unlink()
    with pytest.raises(ConfigurationError, match=f"it has no {name}"):
        load_collection(directory)


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("corpus.jsonl", "{", "not JSON"),
        ("corpus.jsonl", '{"_id": "x"}', "it needs _id and text"),
        ("corpus.jsonl", '{"_id": 7, "text": "x"}', "it needs _id and text"),
        ("queries.jsonl", "[]", "it needs _id and text"),
        ("qrels/test.tsv", "q1 d1 1", "query-id, corpus-id and score expected"),
        ("qrels/test.tsv", "q1\td1\thigh", "query-id, corpus-id and score expected"),
    ],
)
def test_a_wrong_line_is_named(name: str, line: str, told: str, tmp_path: Path) -> None:
    path = write_collection(tmp_path / "tiny") / name
    number = len(path.read_text().splitlines()) + 1
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationError, match=rf"{name}, line {number}: {told}"):
        load_collection(tmp_path / "tiny")


def test_text_of_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = write_collection(tmp_path / "tiny") / "queries.jsonl"
    path.write_bytes(b'{"_id": "q1", "text": "caf\xe9"}\n')
    with pytest.raises(ConfigurationError, match=r"queries.jsonl, line 1: not JSON"):
        load_collection(tmp_path / "tiny")


def test_no_answers_at_all_are_told(tmp_path: Path) -> None:
    directory = write_collection(tmp_path / "tiny", qrels={"bad": {"d1": 0}, "unknown": {"d1": 1}})
    with pytest.raises(ConfigurationError, match="no query with a relevant document"):
        load_collection(directory)
