"""Hugging Face's sentence similarity: scores in the order of the sentences, errors as at TEI."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from rerank_producer.apis import SIMILARITY
from rerank_producer.apis.common.call import Problem
from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON, parse, render

INPUTS: dict[str, Any] = {"source_sentence": "q", "sentences": ["a", "b"]}


def told(body: Any) -> tuple[int, Any]:
    with pytest.raises(InvalidRequest) as caught:
        SIMILARITY.parse(body)
    return SIMILARITY.problem(Problem(400, InvalidRequest.code, caught.value.message), "req-1")


def test_scores_come_in_the_order_of_the_sentences() -> None:
    parsed = SIMILARITY.parse({"inputs": INPUTS, "parameters": {}})
    assert [(call.query, list(call.documents)) for call in parsed.calls] == [("q", ["a", "b"])]
    assert render(parsed, [-1.0, 2.0]) == [sigmoid(-1.0), sigmoid(2.0)]


def test_no_sentences_are_told_as_an_empty_batch_is() -> None:
    expected = (400, {"error": "`sentences` cannot be empty", "error_type": "Empty"})
    assert told({"inputs": {**INPUTS, "sentences": []}}) == expected


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "inputs"),
        ({"inputs": ["a"]}, "inputs"),
        ([], "inputs"),
        ({"inputs": {"sentences": ["a"]}}, "source_sentence"),
        ({"inputs": {**INPUTS, "sentences": ["a", 3]}}, "sentences.1"),
        ({"inputs": {**INPUTS, "sentences": "a"}}, "sentences"),
    ],
)
def test_a_wrong_field_is_named(body: Any, field: str) -> None:
    status, content = told(body)
    assert (status, content["error_type"]) == (422, "Validation")
    assert content["error"].startswith(f"{field}: ")


@given(JSON)
def test_any_json_is_a_call_or_an_invalid_request(body: Any) -> None:
    parse(SIMILARITY, body)
    parse(SIMILARITY, {"inputs": body})
