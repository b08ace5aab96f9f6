"""The fleet's own API: its request and its answer as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis import FLEET, fleet
from rerank_producer.apis.common.call import Problem
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON, LOGITS, answer, parse, render

BODY: dict[str, Any] = {"query": "q", "documents": ["a", {"text": "b", "id": "B", "metadata": {"n": 1}}]}


def test_a_body_becomes_one_call() -> None:
    (call,) = FLEET.parse({**BODY, "top_n": 1, "model": "m", "max_length": 64}).calls
    assert (call.query, call.documents, call.top_n, call.model, call.max_length) == ("q", BODY["documents"], 1, "m", 64)


def test_what_only_this_api_can_say_is_in_the_call() -> None:
    (call,) = FLEET.parse({**BODY, "deadline_ms": 250, "class": "bulk", "tenant": "t"}).calls
    assert (call.deadline_ms, call.job_class, call.tenant, call.tokenizer_digest) == (250.0, "bulk", "t", None)
    document = {"token_ids": [5, 6]}
    (call,) = FLEET.parse({"query": "q", "documents": [document], "tokenizer_digest": "0" * 64}).calls
    assert (call.documents, call.tokenizer_digest) == ([document], "0" * 64)


def test_its_answer_is_the_response_as_it_is() -> None:
    parsed = FLEET.parse(BODY)
    scored = answer(parsed.calls[0], [-1.0, None])
    written = parsed.render("req-1", [scored])
    assert RerankResponse.model_validate(written) == scored.response
    assert written["results"][0]["logit"] == -1.0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "^request: a JSON object expected$"),
        ({**BODY, "top_k": 1}, r"^top_k: no such field; did you mean top_n\?$"),
        ({**BODY, "qqqqqqqq": 1}, "^qqqqqqqq: no such field$"),
        ({"documents": ["a"]}, "^query: "),
        ({"query": "q"}, "^documents: "),
        ({"query": " ", "documents": ["a"]}, "^query: is empty"),
        ({"query": "q", "documents": "secret"}, "^documents: a list of documents expected, not one text$"),
        ({"query": "q", "documents": ["a", ["secret"]]}, r"^documents\.1: a text, or an object of either"),
        ({"query": "q", "documents": ["a", {}]}, r"^documents\.1: either `text` or `token_ids` expected$"),
        ({"query": "q", "documents": [{"text": ["secret"]}]}, r"^documents\.0\.text: Input should be a valid string$"),
        ({"query": "q", "documents": [{"token_ids": [1, "secret"]}]}, r"^documents\.0\.token_ids\.1: Input should be"),
        ({**BODY, "top_n": 0}, "^top_n: "),
        ({**BODY, "stages": []}, "^stages: an empty list; give stages, such as "),
        ({**BODY, "stages": ["secret"]}, "^stages: a list of stages expected, such as "),
        ({**BODY, "documents": [{"token_ids": [1, 2]}]}, "tokenizer_digest"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(body: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        FLEET.parse(body)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "flood",
    [
        {"documents": [1] * 500_000},
        {"documents": [{}] * 500_000},
        {"documents": [{"token_ids": ["x"] * 500_000}]},
        {f"field {number}": 0 for number in range(500_000)},
    ],
    ids=["numbers", "objects", "tokens", "fields"],
)
def test_a_flood_of_mistakes_is_one_error(flood: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "parse_request", lambda *_, **__: pytest.fail("all mistakes were about to be listed"))
    with pytest.raises(InvalidRequest) as caught:
        FLEET.parse({**BODY, **flood})
    assert len(caught.value.message) < 200


def test_errors_tell_programs_and_people() -> None:
    assert FLEET.problem(Problem(429, "overloaded", "busy", True, 2.5), "r") == (
        429,
        {"error": {"code": "overloaded", "message": "busy", "retryable": True, "retry_after_s": 2.5}},
    )
    status, body = FLEET.problem(Problem(404, "unknown_model", "no such"), "r")
    assert (status, body) == (404, {"error": {"code": "unknown_model", "message": "no such", "retryable": False}})
    FLEET.error.model_validate(body)


@given(JSON | st.fixed_dictionaries({"query": JSON, "documents": JSON}, optional={"class": JSON, "top_n": JSON}))
def test_any_json_is_a_call_or_an_invalid_request(body: Any) -> None:
    parsed = parse(FLEET, body)
    assert parsed is None or parsed.calls


@given(logits=LOGITS, top_n=st.none() | st.integers(1, 15))
def test_answers_are_ranked_and_as_their_model_says(logits: list[float | None], top_n: int | None) -> None:
    written = render(FLEET.parse({"query": "q", "documents": ["d"] * len(logits), "top_n": top_n}), logits)
    FLEET.response.model_validate(written, strict=True)
    indexes = [result["index"] for result in written["results"]]
    assert len(indexes) == len(set(indexes)) == min(top_n or len(logits), len(logits))
    scores = [result["relevance_score"] for result in written["results"] if result["scored"]]
    assert scores == sorted(scores, reverse=True)
