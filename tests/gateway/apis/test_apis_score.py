"""vLLM's score: pairs by query, one ask each, and scores back where their pairs stood."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis import SCORE
from rerank_producer.apis.common.call import Parsed, Problem, RerankReply
from rerank_producer.apis.score import Score
from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON, PAIR_TOKENS, answer, parse, texts

TEXTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=8)


def by_letter(parsed: Parsed) -> list[RerankReply]:
    """Answers whose logits tell the pair: 10 for each step in the query's alphabet, 1 in the document's."""
    return [answer(call, [logit(call.query, str(document)) for document in call.documents]) for call in parsed.calls]


def logit(query: str, document: str) -> float:
    return 10.0 * (ord(query) - ord("a")) + (ord(document) - ord("a"))


def scores(body: dict[str, Any], field: str = "use_activation") -> list[float]:
    parsed = SCORE.parse({**body, field: False})
    return [data["score"] for data in parsed.render("r", by_letter(parsed))["data"]]


def test_its_clients_find_what_they_read() -> None:
    parsed = Score(clock=lambda: 1_700_000_000.9).parse({"model": "m", "text_1": "a", "text_2": ["a", "b"]})
    (call,) = parsed.calls
    assert (call.query, list(call.documents), call.model, call.max_length) == ("a", ["a", "b"], "m", None)
    assert parsed.render("req-1", [answer(call, [-1.0, 2.0])]) == {
        "id": "req-1",
        "object": "list",
        "created": 1_700_000_000,
        "model": "ms-marco-minilm-l6",
        "data": [
            {"index": 0, "object": "score", "score": sigmoid(-1.0)},
            {"index": 1, "object": "score", "score": sigmoid(2.0)},
        ],
        "usage": {"prompt_tokens": 2 * PAIR_TOKENS, "total_tokens": 2 * PAIR_TOKENS, "completion_tokens": 0},
    }


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("b", "c", [12.0]),
        ("b", ["a", "c"], [10.0, 12.0]),
        (["b"], ["a", "c"], [10.0, 12.0]),
        (["b"], "c", [12.0]),
        (["a", "b", "a"], ["a", "b", "c"], [0.0, 11.0, 2.0]),
        (["b", "a", "b"], ["c", "c", "a"], [12.0, 2.0, 10.0]),
    ],
)
@pytest.mark.parametrize(
    "names", [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
)
def test_one_with_one_one_with_many_and_many_with_many(
    names: tuple[str, str], first: Any, second: Any, expected: list[float]
) -> None:
    assert scores({names[0]: first, names[1]: second}) == expected


def test_pairs_of_one_query_are_asked_together() -> None:
    parsed = SCORE.parse({"text_1": ["a", "b", "a"], "text_2": ["x", "y", "z"]})
    assert [(call.query, list(call.documents)) for call in parsed.calls] == [("a", ["x", "z"]), ("b", ["y"])]


@given(first=TEXTS, second=TEXTS)
def test_each_score_is_that_of_its_pair(first: list[str], second: list[str]) -> None:
    if len(first) not in (1, len(second)):
        with pytest.raises(InvalidRequest, match=r"^text_1: \d texts for the \d of `text_2`"):
            SCORE.parse({"text_1": first, "text_2": second})
        return
    queries = first * len(second) if len(first) == 1 else first
    assert scores({"text_1": first, "text_2": second}) == [logit(q, d) for q, d in zip(queries, second, strict=True)]


def test_an_older_name_of_use_activation_is_honoured() -> None:
    assert scores({"text_1": "a", "text_2": ["b"]}, "activation") == [logit("a", "b")]


def test_a_pair_without_a_score_has_the_lowest() -> None:
    parsed = SCORE.parse({"text_1": "a", "text_2": ["x", "y", "z"], "use_activation": False})
    data = parsed.render("r", [answer(parsed.calls[0], [3.0, None, -2.0])])["data"]
    assert [each["score"] for each in data] == [3.0, -2.0, -2.0]


@pytest.mark.parametrize(("given", "max_length"), [(128, 128), (1, 8), (-1, None), (0, None), (None, None)])
def test_tokens_a_prompt_bound_the_pair(given: int | None, max_length: int | None) -> None:
    body = {"text_1": ["a", "b"], "text_2": ["x", "y"], "truncate_prompt_tokens": given}
    assert [call.max_length for call in SCORE.parse(body).calls] == [max_length, max_length]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "^text_1: is missing, or `text_2` is"),
        ({"text_1": "a", "documents": ["b"]}, "^text_1: is missing, or `text_2` is"),
        ({"text_1": [], "text_2": ["b"]}, "^text_1: the list is empty"),
        ({"queries": "a", "items": []}, "^items: the list is empty"),
        ({"text_1": ["secret", "b"], "text_2": "b"}, "^text_1: 2 texts for the 1 of `text_2`; one for all of them"),
        ({"text_1": "a", "text_2": ["b", {"content": "secret"}]}, r"^text_2\.1: a text expected$"),
        ({"text_1": {"content": "secret"}, "text_2": "b"}, "^text_1: a text, or a list of texts, expected$"),
        ({"text_1": "a", "text_2": "b", "truncate_prompt_tokens": -2}, "^truncate_prompt_tokens: a whole number"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(body: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        SCORE.parse(body)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "BadRequestError"),
        (404, "NotFoundError"),
        (413, "BadRequestError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (504, "GatewayTimeoutError"),
    ],
)
def test_errors_have_its_shape(status: int, kind: str) -> None:
    told, body = SCORE.problem(Problem(status, "code", "said"), "r")
    assert (told, body) == (
        status,
        {"error": {"message": "said", "type": kind, "param": None, "code": status}},
    )
    SCORE.error.model_validate(body)


@given(
    JSON
    | st.dictionaries(
        st.sampled_from(["text_1", "text_2", "queries", "documents", "items", "data_1", "data_2", "model"]), JSON
    )
)
def test_any_json_is_calls_or_an_invalid_request(body: Any) -> None:
    parsed = parse(SCORE, body)
    assert parsed is None or all(isinstance(text, str) for text in texts(parsed))


@given(second=TEXTS)
def test_answers_are_as_their_model_says(second: list[str]) -> None:
    parsed = SCORE.parse({"text_1": "a", "text_2": second})
    written = parsed.render("r", by_letter(parsed))
    SCORE.response.model_validate(written, strict=True, extra="forbid")
    assert [data["index"] for data in written["data"]] == list(range(len(second)))
