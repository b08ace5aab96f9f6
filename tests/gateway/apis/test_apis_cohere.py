"""Cohere's rerank, v2 and v1: what its clients send becomes calls, and what they read is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rerank_producer.apis import COHERE_V1, COHERE_V2
from rerank_producer.apis.common.call import Problem
from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON, LOGITS, PAIR_TOKENS, parse, render, texts

BODY: dict[str, Any] = {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b", "c"]}
BOTH = pytest.mark.parametrize("api", [COHERE_V1, COHERE_V2], ids=lambda api: api.name)


@BOTH
def test_a_body_becomes_one_call(api: Any) -> None:
    (call,) = api.parse(BODY).calls
    assert (call.query, list(call.documents), call.model, call.max_length) == (
        "q",
        ["a", "b", "c"],
        "rerank-v3.5",
        None,
    )


@BOTH
@pytest.mark.parametrize(("given", "max_length"), [(4096, 4096), (3, 8), (None, None)])
def test_tokens_a_document_bound_the_pair(api: Any, given: int | None, max_length: int | None) -> None:
    assert api.parse({**BODY, "max_tokens_per_doc": given}).calls[0].max_length == max_length


def test_tokens_a_prompt_bound_it_too_as_vllm_has_it() -> None:
    def length(**fields: int) -> int | None:
        return COHERE_V1.parse({**BODY, **fields}).calls[0].max_length

    assert length(truncate_prompt_tokens=64, max_tokens_per_doc=128) == 64
    assert length(truncate_prompt_tokens=-1, max_tokens_per_doc=128) == 128
    assert length(truncate_prompt_tokens=-1) is None
    assert length(truncate_prompt_tokens=0) is None


@BOTH
@pytest.mark.parametrize(
    ("rank_fields", "text"),
    [(None, "body"), ([], "body"), (["title", "text"], "T\nbody"), (["text", "title"], "body\nT"), (["year"], "1999")],
)
def test_fields_of_objects_are_joined_in_their_order(api: Any, rank_fields: list[str] | None, text: str) -> None:
    document = {"title": "T", "text": "body", "year": 1999, "none": None}
    parsed = api.parse({"query": "q", "documents": [document, "plain"], "rank_fields": rank_fields})
    assert list(parsed.calls[0].documents) == [text, "plain"]


@BOTH
def test_an_object_without_the_fields_to_rank_is_refused(api: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^documents\.1: has none of the fields of `rank_fields`$"):
        api.parse({"query": "q", "documents": ["a", {"title": "secret", "text": None}], "rank_fields": ["body"]})


@BOTH
def test_an_object_without_a_text_is_scored_as_json(api: Any) -> None:
    parsed = api.parse({"query": "q", "documents": [{"title": "Käse", "year": 1999}, {}]})
    assert list(parsed.calls[0].documents) == ['{"title": "Käse", "year": 1999}', "{}"]
    assert "warnings" not in render(parsed, [1.0, 2.0])["meta"]


@BOTH
def test_an_image_is_not_scored_by_its_address(api: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^documents\.0: an image, which the models here can't read") as caught:
        api.parse({"query": "q", "documents": [{"image": "secret"}]})
    assert "secret" not in caught.value.message


@BOTH
@pytest.mark.parametrize(
    "null", [None, {"text": None}, {"text": None, "title": "T"}], ids=["null", "its text", "beside others"]
)
def test_null_is_an_empty_text_and_is_told(api: Any, null: Any) -> None:
    parsed = api.parse({"query": "q", "documents": ["a", null], "return_documents": True})
    assert list(parsed.calls[0].documents) == ["a", ""]
    written = render(parsed, [2.0, 1.0])
    assert written["meta"]["warnings"] == ["null where a text was expected, scored as an empty one: documents.1"]
    assert written["results"][1]["document"] == (null or {"text": ""})


@BOTH
def test_many_nulls_are_told_in_one_line(api: Any) -> None:
    (warning,) = render(api.parse({"query": "q", "documents": [None] * 7}), [0.0] * 7)["meta"]["warnings"]
    assert warning.endswith("documents.0, documents.1, documents.2, documents.3, documents.4 and 2 more")


@BOTH
def test_ranked_fields_that_are_all_null_are_an_empty_text(api: Any) -> None:
    parsed = api.parse({"query": "q", "documents": [{"a": None, "b": None}], "rank_fields": ["a", "b"]})
    assert list(parsed.calls[0].documents) == [""]
    assert parsed.warnings


def test_v2_writes_what_its_sdk_reads() -> None:
    parsed = COHERE_V2.parse(BODY)
    written = render(parsed, [-1.0, 2.0, 0.5], cached=[1])
    assert written == {
        "id": "req-1",
        "results": [
            {"index": 1, "relevance_score": sigmoid(2.0)},
            {"index": 2, "relevance_score": sigmoid(0.5)},
            {"index": 0, "relevance_score": sigmoid(-1.0)},
        ],
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 3 * PAIR_TOKENS, "output_tokens": 0},
            "cached_tokens": PAIR_TOKENS,
        },
    }


@BOTH
@pytest.mark.parametrize(("top_n", "count"), [(None, 3), (0, 3), (1, 1), (99, 3)])
def test_the_best_are_answered_and_all_are_counted(api: Any, top_n: int | None, count: int) -> None:
    written = render(api.parse({**BODY, "top_n": top_n}), [-1.0, 2.0, 0.5])
    assert [result["index"] for result in written["results"]] == [1, 2, 0][:count]
    assert written["meta"]["tokens"]["input_tokens"] == 3 * PAIR_TOKENS


@BOTH
@pytest.mark.parametrize(("count", "units"), [(1, 1), (100, 1), (101, 2)])
def test_a_search_unit_is_a_hundred_documents_begun(api: Any, count: int, units: int) -> None:
    written = render(api.parse({"query": "q", "documents": ["d"] * count}), [0.0] * count)
    assert written["meta"]["billed_units"] == {"search_units": units}


def test_v1_repeats_documents_where_asked_and_leaves_the_field_out_where_not() -> None:
    documents = ["plain", {"text": "t", "title": "kept"}]
    asked = render(COHERE_V1.parse({"query": "q", "documents": documents, "return_documents": True}), [1.0, 2.0])
    assert [result["document"] for result in asked["results"]] == [documents[1], {"text": "plain"}]
    for body in (BODY, {**BODY, "return_documents": False}, {**BODY, "return_documents": None}):
        assert all("document" not in result for result in render(COHERE_V1.parse(body), [1.0, 2.0, 3.0])["results"])


def test_v1_tells_clients_of_vllm_the_model_and_the_tokens() -> None:
    written = render(COHERE_V1.parse(BODY), [1.0, 2.0, 3.0])
    assert written["model"] == "ms-marco-minilm-l6"
    tokens = 3 * PAIR_TOKENS
    assert written["usage"] == {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    assert written["object"] == "rerank"


@BOTH
@pytest.mark.parametrize("field", ["use_activation", "activation", "raw_scores"])
@pytest.mark.parametrize("wanted", [True, False, None])
def test_logits_are_answered_to_who_wants_them(api: Any, field: str, wanted: bool | None) -> None:
    written = render(api.parse({"query": "q", "documents": ["a", "b"], field: wanted}), [-2.0, 3.0])
    logits = wanted is (field == "raw_scores")
    assert [result["relevance_score"] for result in written["results"]] == (
        [3.0, -2.0] if logits else [sigmoid(3.0), sigmoid(-2.0)]
    )


@BOTH
@pytest.mark.parametrize(("fields", "count"), [({"top_k": 1}, 1), ({"top_k": 1, "top_n": 2}, 2), ({"top_k": None}, 3)])
def test_top_k_is_another_name_of_top_n(api: Any, fields: dict[str, Any], count: int) -> None:
    assert len(render(api.parse({**BODY, **fields}), [1.0, 2.0, 3.0])["results"]) == count


@pytest.mark.parametrize(
    ("fields", "returned"),
    [
        ({}, False),
        ({"return_documents": True}, True),
        ({"return_documents": "true"}, True),
        ({"model": None}, False),
        ({"model": "cohere/rerank-english-v3.0"}, False),
        # vLLM's clients read it unasked.
        ({"model": "BAAI/bge-reranker-v2-m3"}, True),
        ({"model": "BAAI/bge-reranker-v2-m3", "return_documents": False}, False),
    ],
)
def test_v2_repeats_documents_where_asked_and_as_vllm_does(fields: dict[str, Any], returned: bool) -> None:
    written = render(COHERE_V2.parse({**BODY, **fields}), [1.0, 2.0, 3.0])
    texts = [{"text": text} for text in ("c", "b", "a")]
    assert [result.get("document") for result in written["results"]] == (texts if returned else [None] * 3)


@BOTH
def test_warnings_stand_in_meta(api: Any) -> None:
    assert "warnings" not in render(api.parse(BODY), [1.0, 2.0, 3.0])["meta"]
    assert render(api.parse(BODY), [1.0, 2.0, None], warnings=("1 late",))["meta"]["warnings"] == ["1 late"]


@pytest.mark.parametrize(("mode", "warned"), [("enabled", True), ("disabled", False)])
def test_spans_that_are_asked_for_in_vain_are_a_warning(mode: str, warned: bool) -> None:
    meta = render(COHERE_V2.parse({**BODY, "relevant_spans": {"mode": mode}}), [1.0, 2.0, 3.0])["meta"]
    assert any("relevant_spans" in warning for warning in meta.get("warnings", [])) is warned


@pytest.mark.parametrize(
    ("logits", "scores"),
    [([2.0, None, -1.0], [sigmoid(2.0), sigmoid(-1.0), 0.0]), ([None, None, 0.0], [0.5, 0.0, 0.0])],
)
def test_unscored_documents_stand_last_with_a_score(logits: list[float | None], scores: list[float]) -> None:
    written = render(COHERE_V2.parse(BODY), logits)
    assert [result["relevance_score"] for result in written["results"]] == scores


@BOTH
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents": []}, "documents: list of documents must not be empty"),
        ({"documents": None}, "documents: a list of texts, or of objects that hold a text, expected"),
        ({"documents": "secret"}, "documents: a list of texts, or of objects that hold a text, expected"),
        ({"documents": ["a", 7]}, "documents.1: a text, or an object that holds one, expected"),
        ({"query": ["secret"]}, "query: a text expected"),
        ({"query": None}, "query: a text expected"),
        ({"top_n": -1}, "top_n: a whole number from 0 expected (0: all)"),
        ({"top_n": "secret"}, "top_n: a whole number from 0 expected (0: all)"),
        ({"top_n": True}, "top_n: a whole number from 0 expected (0: all)"),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc: a whole number from 1 expected"),
        ({"priority": "secret"}, "priority: a whole number expected"),
        ({"model": 7}, "model: a text expected"),
        ({"return_documents": "secret"}, "return_documents: true or false expected"),
        ({"rank_fields": [1]}, "rank_fields.0: a field name expected"),
        ({"query": 1, "top_n": 1.5}, "query: a text expected; top_n: a whole number from 0 expected (0: all)"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(api: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        api.parse({**BODY, **fields})
    assert caught.value.message == message


@BOTH
@pytest.mark.parametrize("body", [None, [], "secret", 7, True])
def test_what_is_no_object_is_refused(api: Any, body: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^request: a JSON object expected$"):
        api.parse(body)


@BOTH
def test_what_is_missing_is_named(api: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^query: is missing; a text expected; documents: is missing; a list"):
        api.parse({})


@BOTH
def test_a_list_of_wrong_documents_is_refused_at_the_first(api: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        api.request.model_validate({"query": "q", "documents": [1] * 1_000})
    # One for each branch of the union.
    assert caught.value.error_count() == 2


@BOTH
def test_fields_it_does_not_know_are_ignored(api: Any) -> None:
    assert (
        api.parse({**BODY, "instruction": "x", "max_chunks_per_doc": 10, "priority": 3}).calls == api.parse(BODY).calls
    )


def test_errors_have_the_shape_of_their_version() -> None:
    problem = Problem(429, "overloaded", "too busy", True, 2.0)
    assert COHERE_V2.problem(problem, "req-1") == (429, {"id": "req-1", "message": "too busy"})
    info = {"message": "too busy", "type": "RateLimitError", "param": None, "code": 429}
    told = {"message": "too busy", "detail": "too busy", "error": info}
    assert COHERE_V1.problem(problem, "req-1") == (429, told)
    for api in (COHERE_V1, COHERE_V2):
        api.error.model_validate(api.problem(problem, "req-1")[1])


@BOTH
@given(body=JSON)
def test_any_json_is_a_call_or_an_invalid_request(api: Any, body: Any) -> None:
    parsed = parse(api, body)
    assert parsed is None or parsed.calls


@BOTH
@given(
    documents=JSON,
    rank_fields=JSON,
    extra=st.dictionaries(st.sampled_from(["top_n", "return_documents", "relevant_spans"]), JSON),
)
def test_any_field_is_taken_or_an_invalid_request(api: Any, documents: Any, rank_fields: Any, extra: Any) -> None:
    parsed = parse(api, {"query": "q", "documents": documents, "rank_fields": rank_fields, **extra})
    assert parsed is None or all(isinstance(text, str) for text in texts(parsed))


@BOTH
@given(logits=LOGITS, top_n=st.none() | st.integers(0, 15), returned=st.booleans())
def test_answers_are_ranked_and_as_their_model_says(
    api: Any, logits: list[float | None], top_n: int | None, returned: bool
) -> None:
    body = {"query": "q", "documents": ["d"] * len(logits), "top_n": top_n, "return_documents": returned}
    written = render(api.parse(body), logits, warnings=("w",))
    api.response.model_validate(written, strict=True, extra="forbid")
    indexes = [result["index"] for result in written["results"]]
    scores = [result["relevance_score"] for result in written["results"]]
    assert len(indexes) == len(set(indexes)) == min(top_n or len(logits), len(logits))
    assert scores == sorted(scores, reverse=True)
