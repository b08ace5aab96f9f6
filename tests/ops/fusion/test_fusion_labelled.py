"""Judged queries with scored candidates, from a collection or from requests; what is wrong is told with its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rerank_ops.fusion.labelled import LabelledSet, from_collection, from_requests
from rerank_ops.judging.qrels import read_qrels
from rerank_shared.errors import ConfigurationError
from support.model.collections import write_collection

DOCUMENTS = [{"id": "d1", "text": "one", "score": 2.5}, {"id": "d2", "text": "two", "score": 0.5}]
TREC = "q1 0 d1 1\nq2 0 d2 0\n7 Q0 d2 2\n"


def read(tmp_path: Path, *lines: dict[str, Any] | str, qrels: str = TREC, **options: Any) -> LabelledSet:
    requests, judgements = tmp_path / "requests.jsonl", tmp_path / "qrels"
    requests.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    judgements.write_text(qrels)
    return from_requests(requests, judgements, **options)


def test_a_collection_s_candidates_have_their_bm25_scores(tmp_path: Path) -> None:
    found = from_collection(write_collection(tmp_path / "tiny"), k=1)
    assert found.name == "tiny, BM25 candidates"
    assert [query.id for query in found.queries] == ["q1", "q2"]
    assert [[candidate.id for candidate in query.candidates] for query in found.queries] == [["d1"], ["d3"]]
    assert all((candidate.score or 0) > 0 for query in found.queries for candidate in query.candidates)
    assert found.unjudged == 2
    (query,) = (query for query in from_collection(tmp_path / "tiny").queries if query.id == "q2")
    scores = [candidate.score or 0 for candidate in query.candidates]
    assert [candidate.id for candidate in query.candidates] == ["d3", "d2"]
    assert scores == sorted(scores, reverse=True)


def test_requests_bring_their_own_candidates(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"id": "q1", "query": "a", "documents": DOCUMENTS, "top_n": 1, "class": "bulk"},
        "",
        {"id": "q2", "query": "b", "documents": DOCUMENTS},
        {
            "query_id": 7,
            "query": "c",
            "documents": [{"id": "d2", "text": "two"}],
            "scores": [0.25],
            "first_stage_order": "descending",
        },
        {"id": "unknown", "query": "d", "documents": DOCUMENTS},
        order="ascending",
    )
    assert [(query.id, query.order) for query in found.queries] == [("7", "descending"), ("q1", "ascending")]
    assert [[(c.id, c.score) for c in query.candidates] for query in found.queries] == [
        [("d2", 0.25)],
        [("d1", 2.5), ("d2", 0.5)],
    ]
    assert found.qrels == {"q1": {"d1": 1}, "7": {"d2": 2}}
    assert (found.name, found.unjudged) == ("requests.jsonl", 2)


def test_a_limit_takes_the_same_requests_each_time(tmp_path: Path) -> None:
    lines = [{"id": f"q{number}", "query": "a", "documents": DOCUMENTS} for number in range(30)]
    qrels = "".join(f"q{number} 0 d1 1\n" for number in range(30))
    few = read(tmp_path, *lines, qrels=qrels, limit=5)
    assert len(few.queries) == len(few.qrels) == 5
    assert few == read(tmp_path, *lines[::-1], qrels=qrels, limit=5)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: an object with `query` and `documents` expected"),
        ({"query": "a", "documents": DOCUMENTS}, "line 2: id: one id of the query expected"),
        (
            {"id": "q", "query_id": "q", "query": "a", "documents": DOCUMENTS},
            "line 2: id: one id of the query expected",
        ),
        ({"id": True, "query": "a", "documents": DOCUMENTS}, "line 2: id: one id of the query expected"),
        ({"id": "q9", "query": "a"}, "line 2: documents: missing"),
        ({"id": "q9", "query": "a", "documents": DOCUMENTS, "topn": 1}, "line 2: topn: no such field"),
        ({"id": "q9", "query": "a", "documents": [DOCUMENTS[0], "x"]}, "line 2: documents.1: it has no id"),
        (
            {"id": "q9", "query": "a", "documents": [DOCUMENTS[0], {"id": "d7", "text": "x"}]},
            "line 2: documents.1: 'd7' has no first-stage score",
        ),
        ({"id": "q9", "query": "a", "documents": [DOCUMENTS[0]] * 2}, "line 2: documents: two have the same id"),
        ({"id": "q1", "query": "a", "documents": DOCUMENTS}, "line 2: the query id 'q1' stands on an earlier line"),
    ],
)
def test_a_wrong_line_is_named(line: dict[str, Any] | str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, {"id": "q1", "query": "a", "documents": DOCUMENTS}, line)
    assert f"requests.jsonl, {told}" in error.value.message


def test_requests_that_nobody_judged_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"requests.jsonl has no query for which .*qrels names a relevant"):
        read(tmp_path, {"id": "q2", "query": "a", "documents": DOCUMENTS})


@pytest.mark.parametrize(
    "text",
    [
        TREC,
        "q1\t0\td1\t1\r\n7\tQ0\td2\t2\r\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t1\n\nq2\td2\t-1\n7\td2\t2\n",
        "\ufeffq1\td1\t1\n7\td2\t2\n",
    ],
)
def test_judgements_are_those_of_trec_or_of_beir(text: str, tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text(text, encoding="utf-8")
    assert read_qrels(path) == {"q1": {"d1": 1}, "7": {"d2": 2}}


def test_judgements_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv.gz"
    path.write_bytes(gzip.compress(TREC.encode()))
    assert read_qrels(path) == {"q1": {"d1": 1}, "7": {"d2": 2}}


def test_a_line_of_json_ends_at_its_line_end_alone(tmp_path: Path) -> None:
    """A text may hold what else ends a line in Unicode."""
    path = tmp_path / "clicks.jsonl"
    path.write_text('{"query_id": "q1", "document_id": "d1", "grade": 1, "query": "one\u2028two\x85"}\n', "utf-8")
    assert read_qrels(path) == {"q1": {"d1": 1}}


@pytest.mark.parametrize("grade", ["0.5", "1.0"])
def test_a_first_judgement_with_a_wrong_grade_is_no_header(grade: str, tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text(f"q1\td1\t{grade}\nq2\td2\t1\n")
    with pytest.raises(ConfigurationError, match="qrels, line 1: query-id, corpus-id and score expected, with tabs"):
        read_qrels(path)


@pytest.mark.parametrize(
    "line", ["q1 0 d1 99999999999", "q1\td1\t-1000001", '{"query_id": 1, "document_id": 2, "grade": 1000001}']
)
def test_a_grade_that_evaluators_can_not_count_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text(line + "\n")
    with pytest.raises(ConfigurationError, match=r"qrels, line 1: the grade .* is beyond 1,000,000"):
        read_qrels(path)


@pytest.mark.parametrize("line", ["q1 d1 1", "q1\td1\thigh", "q1 0 d1 high", "q1"])
def test_a_wrong_judgement_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text(TREC + line + "\n")
    with pytest.raises(ConfigurationError, match="qrels, line 4: query-id, corpus-id and score expected"):
        read_qrels(path)


def test_judgements_of_another_encoding_are_told(tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_bytes(b"q1 0 caf\xe9 1\n")
    with pytest.raises(ConfigurationError, match="qrels is not UTF-8 text"):
        read_qrels(path)


def test_options_of_a_line_that_change_logits_go_with_its_query(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"id": "q1", "query": "a", "documents": DOCUMENTS, "max_length": 16, "model": "another", "fusion": "rrf"},
    )
    options = found.queries[0].options
    assert (options["max_length"], options["model"]) == (16, "another")
    assert "fusion" not in options
