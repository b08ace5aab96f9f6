"""Rows as questions and answers as columns, without a fleet and without any engine."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rerank_producer.integrations._columns import Asked, Columns, ask
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import InvalidRequest, ScoringFailed


def answered(order: list[int]) -> RerankResponse:
    """An answer with texts in an order, whose scores say it."""
    results = [Result(index=index, relevance_score=1.0 / rank) for rank, index in enumerate(order, 1)]
    model = ModelInfo(name="m")
    return RerankResponse(id="r", results=results, complete=True, model=model, timings=Timings(), usage=Usage())


def requests(asked: Asked) -> list[dict[str, Any]]:
    return [question.request() for question in asked.questions]


def test_rows_of_a_query_are_one_question_wherever_they_stand() -> None:
    asked = ask(Columns(), {"query": ["a", "b", "a"], "text": ["1", "2", "3"]})
    assert requests(asked) == [{"query": "a", "documents": ["1", "3"]}, {"query": "b", "documents": ["2"]}]
    asked.fill(asked.questions[0], answered([1, 0]))
    asked.fill(asked.questions[1], answered([0]))
    assert asked.results() == {
        "rerank_score": [0.5, 1.0, 1.0],
        "rerank_rank": [2, 1, 1],
        "rerank_error": [None, None, None],
    }


def test_an_id_tells_equal_queries_apart_and_must_not_have_two_texts() -> None:
    data: dict[str, list[Any]] = {"query": ["a", "a", "b"], "text": ["1", "2", "3"], "id": [7, 8, 7]}
    asked = ask(Columns(query_id="id"), data)
    assert requests(asked) == [{"query": "a", "documents": ["1"]}, {"query": "a", "documents": ["2"]}]
    assert asked.results()["rerank_error"] == [
        None, None, "invalid_request: query: another text than in the first row of this 'id'"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": None}, "query: is null"),
        ({"query": math.nan}, "query: is null"),
        ({"query": 3}, "query: a text expected, not int"),
        ({"text": None}, "text: is null"),
        ({"text": b"bytes"}, "text: a text expected, not bytes"),
        ({"id": None}, "id: is null"),
        ({"id": {"a": 1}}, "id: a text or a number expected, not dict"),
        ({"score": math.inf}, "score: a finite number expected"),
        ({"score": "high"}, "score: a finite number expected"),
    ],
)
def test_a_bad_row_has_its_error_and_the_others_go_on(row: dict[str, Any], message: str) -> None:
    good = {"query": "a", "text": "1", "id": "x", "score": 0.5}
    rows = [good, good | row, good]
    asked = ask(Columns(query_id="id", score="score"), {name: [each[name] for each in rows] for name in good})
    assert requests(asked) == [{"query": "a", "documents": ["1", "1"], "scores": [0.5, 0.5]}]
    asked.fill(asked.questions[0], answered([1, 0]))
    results = asked.results()
    assert results["rerank_score"] == [0.5, None, 1.0]
    assert results["rerank_rank"] == [2, None, 1]
    first, error, last = results["rerank_error"]
    assert (first, last) == (None, None)
    assert error.startswith(f"invalid_request: {message}")


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_first_stage_score_is_none_and_no_error(missing: float | None) -> None:
    asked = ask(Columns(score="s"), {"query": ["a", "a"], "text": ["1", "2"], "s": [missing, 2]})
    assert requests(asked) == [{"query": "a", "documents": ["1", "2"], "scores": [None, 2.0]}]


def test_an_error_of_a_request_is_that_of_each_of_its_rows() -> None:
    asked = ask(Columns(), {"query": ["a", "b", "a"], "text": ["1", "2", "3"]})
    asked.fill(asked.questions[0], ScoringFailed("no session"))
    assert asked.results()["rerank_error"] == ["scoring_failed: no session", None, "scoring_failed: no session"]


def test_a_row_may_be_a_query_with_its_texts() -> None:
    data: dict[str, list[Any]] = {
        "query": ["a", None, "c", "d", "e"],
        "texts": [["1", None, "3"], ["4"], None, [], ("5",)],
    }
    asked = ask(Columns(documents="texts"), data)
    assert requests(asked) == [{"query": "a", "documents": ["1", "3"]}, {"query": "e", "documents": ["5"]}]
    asked.fill(asked.questions[0], answered([1, 0]))
    asked.fill(asked.questions[1], answered([0]))
    assert asked.results() == {
        "rerank_score": [[0.5, None, 1.0], [None], [], [], [1.0]],
        "rerank_rank": [[2, None, 1], [None], [], [], [1]],
        "rerank_error": [
            "invalid_request: texts.1: is null", "invalid_request: query: is null", "invalid_request: texts: is null",
            None, None,
        ],
    }  # fmt: skip


def test_lists_have_a_list_of_first_stage_scores() -> None:
    data: dict[str, list[Any]] = {
        "query": ["a", "b", "c"],
        "texts": [["1", "2"]] * 3,
        "s": [[0.1, math.inf], [0.1], None],
    }
    asked = ask(Columns(documents="texts", score="s"), data)
    assert requests(asked) == [{"query": "a", "documents": ["1"], "scores": [0.1]}]
    first, *others = asked.results()["rerank_error"]
    assert first.startswith("invalid_request: s.1: a finite number expected")
    assert others == ["invalid_request: s: a list of 2 scores expected, one a text of 'texts'"] * 2


@pytest.mark.parametrize("text", ["one text", 3])
def test_a_text_is_no_list(text: Any) -> None:
    asked = ask(Columns(documents="texts"), {"query": ["a"], "texts": [text]})
    assert asked.questions == []
    (error,) = asked.results()["rerank_error"]
    assert error.startswith("invalid_request: texts: a list of texts expected, not ")


def test_a_table_of_no_rows_has_empty_columns() -> None:
    for columns in (Columns(), Columns(documents="documents")):
        asked = ask(columns, dict.fromkeys(columns.read, ()))
        assert set(map(len, asked.results().values())) == {0}


def test_an_unknown_column_is_told_with_those_that_there_are() -> None:
    with pytest.raises(
        InvalidRequest,
        match=r"^column 'querry': the table has none of this name; did you mean query\?; it has 'query', 'text'$",
    ):
        Columns(query="querry").check(["query", "text"])
    with pytest.raises(InvalidRequest, match=r"^column 'rerank_rank': the table has it already; rename it"):
        Columns().check(["query", "text", "rerank_rank"])
