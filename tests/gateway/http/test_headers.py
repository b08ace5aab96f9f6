"""Headers in and out: harmless whatever a caller sends, and telling."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.http.headers import (
    answer_headers,
    deadline_ms,
    printable,
    problem_headers,
    request_id,
    takes_partial,
    tei_headers,
)
from rerank_shared.contract.schemas import FusionInfo, ModelInfo, RerankResponse, Result, Timings, Usage

_SAFE = set(string.ascii_letters + string.digits + "._-")


def answer(**changes: object) -> RerankReply:
    fields = {
        "id": "1",
        "results": [Result(index=0, relevance_score=0.5, truncated=True), Result(index=1, relevance_score=0.1)],
        "complete": True,
        "model": ModelInfo(name="org/model"),
        "timings": Timings(cache_ms=1.0, queue_ms=2.5, batch_ms=0.5, run_ms=10.0),
        "usage": Usage(tokens=100, pairs_run=1, pairs_cached=1),
    }
    return RerankReply(RerankCall("q", ["a", "b"]), RerankResponse.model_validate(fields | changes))


@given(st.text())
def test_a_request_id_is_the_caller_s_or_a_new_one_and_never_odd(given_id: str) -> None:
    returned = request_id({"x-request-id": given_id})
    assert returned
    assert set(returned) <= _SAFE
    if given_id and len(given_id) <= 128 and set(given_id) <= _SAFE:
        assert returned == given_id


def test_two_requests_without_an_id_have_two() -> None:
    assert request_id({}) != request_id({})


@pytest.mark.parametrize("value", ["0", "-5", "soon", "nan", "inf", "1e999", "", "1,5"])
def test_a_deadline_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(Refused) as told:
        deadline_ms({"x-rerank-deadline-ms": value})
    assert told.value.problem.status == 400
    assert "x-rerank-deadline-ms" in told.value.problem.message


def test_a_deadline() -> None:
    assert deadline_ms({"x-rerank-deadline-ms": "250.5"}) == 250.5
    assert deadline_ms({}) is None


@pytest.mark.parametrize(("value", "taken"), [("true", True), ("False", False), ("0", False), ("1", True)])
def test_partial_answers_may_be_declined(value: str, taken: bool) -> None:
    assert takes_partial({"x-rerank-partial": value}) is taken
    assert takes_partial({})


def test_partial_is_yes_or_no() -> None:
    with pytest.raises(Refused):
        takes_partial({"x-rerank-partial": "perhaps"})


@given(st.text())
def test_what_a_header_carries_is_visible_ascii(text: str) -> None:
    assert all("!" <= character <= "~" for character in printable(text))
    assert len(printable(text)) <= 256


def test_an_answer_tells_its_stages_and_what_became_of_its_pairs() -> None:
    headers = answer_headers([answer()], 15.25)
    assert headers["server-timing"] == (
        "cache;dur=1.000, enqueue;dur=0.000, queue;dur=2.500, tokenize;dur=0.000, batch;dur=0.500, run;dur=10.000, "
        "fuse;dur=0.000, total;dur=15.250"
    )
    assert headers["x-rerank-complete"] == "true"
    assert headers["x-rerank-cached"] == "1"
    assert headers["x-rerank-truncated"] == "1"
    assert headers["x-rerank-model"] == "org/model"
    assert "x-rerank-overflow" not in headers
    assert "x-rerank-fusion" not in headers


@pytest.mark.parametrize(
    ("fusion", "told"),
    [
        (
            FusionInfo(method="weighted", applied="weighted", weight=1.0, ratio=0.312149, learned_requests=120),
            "weighted; weight=1; ratio=0.3121; requests=120",
        ),
        (
            FusionInfo(method="weighted", applied="zscore", weight=0.25, ratio=12.0, learned_requests=3),
            "zscore; weight=0.25; ratio=12; requests=3",
        ),
        (FusionInfo(method="weighted", applied="weighted", weight=1.0, ratio=2.5), "weighted; weight=1; ratio=2.5"),
        (FusionInfo(method="rrf", applied="rrf", weight=2.0), "rrf; weight=2"),
    ],
)
def test_a_fused_answer_tells_the_method_that_was_applied(fusion: FusionInfo, told: str) -> None:
    headers = answer_headers([answer(fusion=fusion, timings=Timings(fuse_ms=0.25))], 1.0)
    assert headers["x-rerank-fusion"] == told
    assert "fuse;dur=0.250" in headers["server-timing"]


def test_of_several_calls_the_longest_stage_counts_and_all_pairs() -> None:
    headers = answer_headers([answer(), answer(complete=False, timings=Timings(run_ms=30.0))], 40.0)
    assert "run;dur=30.000" in headers["server-timing"]
    assert "cache;dur=1.000" in headers["server-timing"]
    assert headers["x-rerank-complete"] == "false"
    assert headers["x-rerank-cached"] == "2"


def test_no_answer_at_all_has_headers_too() -> None:
    assert answer_headers([], 1.0)["x-rerank-complete"] == "true"
    assert tei_headers([], 1.0)["x-total-time"] == "1"


def test_tei_s_names_are_whole_milliseconds() -> None:
    headers = tei_headers([answer()], 15.25)
    assert headers["x-total-time"] == "15"
    assert headers["x-queue-time"] == "3"
    assert headers["x-inference-time"] == "10"
    assert headers["x-compute-tokens"] == "100"
    assert headers["x-compute-time"] == headers["x-total-time"]


@pytest.mark.parametrize(("seconds", "told"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (90.0, "90")])
def test_retry_after_is_whole_seconds_and_never_none(seconds: float, told: str) -> None:
    problem = Problem(429, "overloaded", "busy", True, seconds, {"x-other": "1"})
    assert problem_headers(problem) == {"retry-after": told, "x-other": "1"}
