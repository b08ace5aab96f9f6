"""Voyage's rerank: what its clients send becomes calls, and what they read is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis import VOYAGE
from rerank_producer.apis.common.call import Problem
from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON, LOGITS, PAIR_TOKENS, parse, render, texts

#: What the SDK sends, nulls and all.
BODY: dict[str, Any] = {
    "model": "rerank-2.5",
    "query": "q",
    "documents": ["a", "b", "c"],
    "top_k": None,
    "truncation": True,
}


def test_a_body_becomes_one_call() -> None:
    (call,) = VOYAGE.parse(BODY).calls
    assert (call.query, list(call.documents), call.model, call.max_length) == ("q", ["a", "b", "c"], "rerank-2.5", None)


def test_its_clients_find_what_they_read() -> None:
    assert render(VOYAGE.parse({**BODY, "top_k": 2}), [-1.0, 2.0, 0.5], cached=[0, 1]) == {
        "object": "list",
        "data": [
            {"relevance_score": sigmoid(2.0), "index": 1},
            {"relevance_score": sigmoid(0.5), "index": 2},
        ],
        "model": "ms-marco-minilm-l6",
        "usage": {"total_tokens": 3 * PAIR_TOKENS},
    }


def test_documents_come_back_as_they_are_where_asked() -> None:
    data = render(VOYAGE.parse({**BODY, "return_documents": True}), [-1.0, 2.0, 0.5])["data"]
    assert [result["document"] for result in data] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents": []}, "^documents: the list is empty; at least one text expected$"),
        ({"documents": ["a", {"text": "secret"}]}, r"^documents\.1: a text expected$"),
        ({"query": {"text": "secret"}}, "^query: a text expected$"),
        ({"top_k": -1}, r"^top_k: a whole number from 0 expected \(0: all\)$"),
        ({"truncation": "secret"}, "^truncation: true or false expected$"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        VOYAGE.parse({**BODY, **fields})
    assert "secret" not in caught.value.message


def test_errors_have_a_detail_and_keep_their_status() -> None:
    for status in (400, 401, 404, 413, 429, 500, 503, 504):
        told, body = VOYAGE.problem(Problem(status, "code", "said"), "r")
        assert (told, body) == (status, {"detail": "said"})
        VOYAGE.error.model_validate(body)


@given(JSON)
def test_any_json_is_a_call_or_an_invalid_request(body: Any) -> None:
    parsed = parse(VOYAGE, body)
    assert parsed is None or parsed.calls


@given(st.fixed_dictionaries({"query": JSON, "documents": JSON}, optional={"top_k": JSON, "truncation": JSON}))
def test_any_field_is_taken_or_an_invalid_request(body: Any) -> None:
    parsed = parse(VOYAGE, body)
    assert parsed is None or all(isinstance(text, str) for text in texts(parsed))


@given(logits=LOGITS, top_k=st.none() | st.integers(0, 15), returned=st.booleans())
def test_answers_are_ranked_and_as_their_model_says(
    logits: list[float | None], top_k: int | None, returned: bool
) -> None:
    body = {"query": "q", "documents": ["d"] * len(logits), "top_k": top_k, "return_documents": returned}
    written = render(VOYAGE.parse(body), logits)
    VOYAGE.response.model_validate(written, strict=True, extra="forbid")
    indexes = [result["index"] for result in written["data"]]
    scores = [result["relevance_score"] for result in written["data"]]
    assert len(indexes) == len(set(indexes)) == min(top_k or len(logits), len(logits))
    assert scores == sorted(scores, reverse=True)
