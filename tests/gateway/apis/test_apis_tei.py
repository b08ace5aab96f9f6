"""The rerank of Text Embeddings Inference: a bare list, sigmoids unless raw, and errors with its own statuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis import TEI
from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import problem_of
from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    JobPoisoned,
    Overloaded,
    QueueUnavailable,
    ScoringFailed,
    UnknownModel,
)
from support.http.answers import JSON, LOGITS, answer, identity_scored, parse, render, texts

BODY: dict[str, Any] = {"query": "q", "texts": ["a", "b", "c"]}
LOGITS_OF_BODY = [-1.0, 2.0, 0.5]


def test_a_body_becomes_one_call_of_the_fleet_s_own_model() -> None:
    (call,) = TEI.parse({**BODY, "model": "BAAI/bge-reranker-base"}).calls
    assert (call.query, list(call.documents), call.model) == ("q", ["a", "b", "c"], None)


def test_its_clients_find_a_bare_list_of_sigmoids() -> None:
    assert render(TEI.parse(BODY), LOGITS_OF_BODY) == [
        {"index": 1, "score": sigmoid(2.0)},
        {"index": 2, "score": sigmoid(0.5)},
        {"index": 0, "score": sigmoid(-1.0)},
    ]


@pytest.mark.parametrize(("raw_scores", "scores"), [(False, [sigmoid(2.0), sigmoid(-1.0)]), (True, [2.0, -1.0])])
def test_the_model_s_activation_does_not_matter(raw_scores: bool, scores: list[float]) -> None:
    parsed = TEI.parse({"query": "q", "texts": ["a", "b"], "raw_scores": raw_scores})
    scored = answer(parsed.calls[0], [-1.0, 2.0])
    for each in (scored, identity_scored(scored)):
        assert [rank["score"] for rank in parsed.render("r", [each])] == scores


@pytest.mark.parametrize("raw_scores", [False, True])
def test_scores_of_an_upstream_that_tells_no_logits_are_as_they_are(raw_scores: bool) -> None:
    parsed = TEI.parse({"query": "q", "texts": ["a"], "raw_scores": raw_scores})
    scored = answer(parsed.calls[0], [0.0])
    scored.response.results[0].logit = None
    assert parsed.render("r", [scored]) == [{"index": 0, "score": 0.5}]


def test_texts_come_back_where_asked() -> None:
    ranks = render(TEI.parse({**BODY, "return_text": True}), LOGITS_OF_BODY)
    assert [rank["text"] for rank in ranks] == ["b", "c", "a"]


def test_all_texts_are_ranked_unless_litellm_says_how_many() -> None:
    assert [rank["index"] for rank in render(TEI.parse(BODY), LOGITS_OF_BODY)] == [1, 2, 0]
    assert [rank["index"] for rank in render(TEI.parse({**BODY, "top_n": 1}), LOGITS_OF_BODY)] == [1]


def test_texts_without_a_score_stand_last() -> None:
    assert render(TEI.parse({**BODY, "raw_scores": True}), [None, -2.0, 1.0]) == [
        {"index": 2, "score": 1.0},
        {"index": 1, "score": -2.0},
        {"index": 0, "score": -2.0},
    ]
    assert render(TEI.parse(BODY), [None, -2.0, 1.0])[2] == {"index": 0, "score": 0.0}


@pytest.mark.parametrize("direction", ["Left", "Right", "right", None])
def test_truncation_is_accepted(direction: str | None) -> None:
    body = {**BODY, "truncate": False, "truncation_direction": direction}
    assert TEI.parse(body).calls == TEI.parse(BODY).calls


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"texts": ["a", {"text": "secret"}]}, r"^texts\.1: a text expected$"),
        ({"texts": "secret"}, "^texts: a list of texts expected$"),
        ({"query": None}, "^query: a text expected$"),
        ({"truncation_direction": "secret"}, "^truncation_direction: Left or Right expected$"),
        ({"raw_scores": "secret"}, "^raw_scores: true or false expected$"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        TEI.parse({**BODY, **fields})
    assert "secret" not in caught.value.message


def test_no_texts_are_an_error_of_their_own() -> None:
    with pytest.raises(InvalidRequest) as caught:
        TEI.parse({**BODY, "texts": []})
    assert TEI.problem(problem_of(caught.value), "r") == (
        400,
        {"error": "`texts` cannot be empty", "error_type": "Empty"},
    )


@pytest.mark.parametrize(
    ("problem", "status", "error_type"),
    [
        (problem_of(InvalidRequest("query: a text expected")), 422, "Validation"),
        (problem_of(Overloaded("busy", 1.0, 1.0)), 429, "Overloaded"),
        (Problem(429, "rate_limited", "too many"), 429, "Overloaded"),
        (Problem(503, "overloaded", "too many open"), 503, "Overloaded"),
        (problem_of(ScoringFailed("not a number")), 424, "Backend"),
        (problem_of(JobPoisoned("set aside")), 424, "Backend"),
        (problem_of(UnknownModel("no worker serves it")), 503, "Unhealthy"),
        (problem_of(QueueUnavailable("away")), 503, "Unhealthy"),
        (problem_of(DeadlineExceeded("late")), 504, "Backend"),
        (problem_of(InternalError("a bug")), 500, "Backend"),
        (Problem(413, "body_too_large", "too large"), 413, "Validation"),
        (Problem(401, "unauthorized", "no key"), 401, "Validation"),
    ],
)
def test_errors_have_its_statuses_where_it_has_one(problem: Problem, status: int, error_type: str) -> None:
    told, body = TEI.problem(problem, "r")
    assert (told, body) == (status, {"error": problem.message, "error_type": error_type})
    TEI.error.model_validate(body)


@given(JSON)
def test_any_json_is_a_call_or_an_invalid_request(body: Any) -> None:
    parsed = parse(TEI, body)
    assert parsed is None or parsed.calls


@given(st.fixed_dictionaries({"query": JSON, "texts": JSON}, optional={"raw_scores": JSON, "top_n": JSON}))
def test_any_field_is_taken_or_an_invalid_request(body: Any) -> None:
    parsed = parse(TEI, body)
    assert parsed is None or all(isinstance(text, str) for text in texts(parsed))


@given(logits=LOGITS, raw_scores=st.booleans(), returned=st.booleans())
def test_answers_are_ranked_and_as_their_model_says(
    logits: list[float | None], raw_scores: bool, returned: bool
) -> None:
    body = {"query": "q", "texts": ["d"] * len(logits), "raw_scores": raw_scores, "return_text": returned}
    written = render(TEI.parse(body), logits)
    TEI.response.model_validate(written, strict=True)
    assert sorted(rank["index"] for rank in written) == list(range(len(logits)))
    scores = [rank["score"] for rank in written]
    assert scores == sorted(scores, reverse=True)
