"""Jina's rerank: what its clients send becomes calls, and what they read is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis import JINA
from rerank_producer.apis.common.call import Problem
from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON, LOGITS, PAIR_TOKENS, parse, render, texts

BODY: dict[str, Any] = {"model": "jina-reranker-v2-base-multilingual", "query": "q", "documents": ["a", {"text": "b"}]}


def test_a_body_becomes_one_call() -> None:
    (call,) = JINA.parse(BODY).calls
    assert (call.query, list(call.documents), call.model) == ("q", ["a", "b"], "jina-reranker-v2-base-multilingual")
    assert JINA.parse({**BODY, "query": {"text": "q"}}).calls == (call,)


def test_its_clients_find_what_they_read() -> None:
    assert render(JINA.parse(BODY), [-1.0, 2.0], cached=[0]) == {
        "model": "ms-marco-minilm-l6",
        "object": "list",
        "usage": {"total_tokens": 2 * PAIR_TOKENS, "prompt_tokens": 2 * PAIR_TOKENS},
        "results": [
            {"index": 1, "relevance_score": sigmoid(2.0)},
            {"index": 0, "relevance_score": sigmoid(-1.0)},
        ],
    }


def test_documents_come_back_as_texts_where_asked() -> None:
    results = render(JINA.parse({**BODY, "return_documents": True}), [-1.0, 2.0])["results"]
    assert [result["document"] for result in results] == [{"text": "b"}, {"text": "a"}]


def test_an_object_without_a_text_is_scored_as_json() -> None:
    (call,) = JINA.parse({**BODY, "documents": [{"title": "Käse"}, {"text": 7}]}).calls
    assert list(call.documents) == ['{"title": "Käse"}', "7"]


@pytest.mark.parametrize(("fields", "count"), [({"top_k": 1}, 1), ({"top_k": 1, "top_n": 2}, 2), ({"top_k": None}, 2)])
def test_top_k_is_another_name_of_top_n(fields: dict[str, Any], count: int) -> None:
    assert len(render(JINA.parse({**BODY, **fields}), [-1.0, 2.0])["results"]) == count


def test_tokens_are_those_of_all_documents_whatever_is_answered() -> None:
    written = render(JINA.parse({**BODY, "top_n": 1}), [-1.0, 2.0])
    assert len(written["results"]) == 1
    assert written["usage"]["total_tokens"] == 2 * PAIR_TOKENS


def test_no_documents_have_no_results() -> None:
    written = JINA.parse({"query": "q", "documents": []})
    assert written.calls[0].documents == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents": ["a", {"image": "secret"}]}, r"^documents\.1: an image, which the models here can't read"),
        ({"query": {"image": "secret"}}, "^query: an image, which the models here can't read"),
        ({"query": {"url": "secret"}}, "^query: an object without a `text`"),
        ({"query": {"text": ["secret"]}}, "^query: an object without a `text`"),
        ({"documents": ["a", None]}, r"^documents\.1: a text, or an object with a `text`, expected$"),
        ({"documents": ["a", {"text": None}]}, r"^documents\.1: its `text` is null; a text expected$"),
        ({"documents": [1]}, r"^documents\.0: a text, or an object with a `text`, expected$"),
        ({"query": 1}, "^query: a text, or an object with a `text`, expected$"),
        ({"top_n": -1}, "^top_n: a whole number from 0 expected"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        JINA.parse({**BODY, **fields})
    assert "secret" not in caught.value.message


def test_errors_have_a_detail_and_wrong_fields_are_422() -> None:
    assert JINA.problem(Problem(400, "invalid_request", "query: a text expected"), "r") == (
        422,
        {
            "message": "query: a text expected",
            "detail": "query: a text expected",
            "error": {"message": "query: a text expected", "type": "BadRequestError", "param": None, "code": 400},
        },
    )
    for status, code in ((400, "malformed_json"), (401, "unauthorized"), (404, "unknown_model"), (429, "overloaded")):
        told, body = JINA.problem(Problem(status, code, "said"), "r")
        assert told == status
        JINA.error.model_validate(body)


@given(JSON)
def test_any_json_is_a_call_or_an_invalid_request(body: Any) -> None:
    parsed = parse(JINA, body)
    assert parsed is None or parsed.calls


@given(st.fixed_dictionaries({"query": JSON, "documents": JSON}, optional={"top_n": JSON, "return_documents": JSON}))
def test_any_field_is_taken_or_an_invalid_request(body: Any) -> None:
    parsed = parse(JINA, body)
    assert parsed is None or all(isinstance(text, str) for text in texts(parsed))


@given(logits=LOGITS, top_n=st.none() | st.integers(0, 15), returned=st.booleans())
def test_answers_are_ranked_and_as_their_model_says(
    logits: list[float | None], top_n: int | None, returned: bool
) -> None:
    body = {"query": "q", "documents": ["d"] * len(logits), "top_n": top_n, "return_documents": returned}
    written = render(JINA.parse(body), logits)
    JINA.response.model_validate(written, strict=True, extra="forbid")
    indexes = [result["index"] for result in written["results"]]
    scores = [result["relevance_score"] for result in written["results"]]
    assert len(indexes) == len(set(indexes)) == min(top_n or len(logits), len(logits))
    assert scores == sorted(scores, reverse=True)
