"""The same assertions over a fleet in memory and over a real server with a real Celery worker: both keep one contract.

Queries tell either fleet what to do, by the words of the echo worker.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator

import pytest

from producer import echo_worker
from producer.conftest import Echo
from rerank_producer import (
    DeadlineExceeded,
    DeadlineTooShort,
    Document,
    Documents,
    InvalidRequest,
    JobLost,
    RequestOptions,
    RerankClient,
    RerankResponse,
    ScoringFailed,
    UnknownModel,
    fuse,
)
from rerank_producer.testing import InMemoryFleet
from rerank_shared.deviations import TRUSTED_REQUESTS


def score(query: str, document: str) -> float:
    if "fail" in query.split():
        raise ZeroDivisionError("on purpose")
    return echo_worker.logit(query, document)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def client(request: pytest.FixtureRequest) -> Iterator[RerankClient]:
    """A client of either fleet."""
    if request.param == "memory":
        with InMemoryFleet(score).client() as client:
            yield client
    else:
        echo: Echo = request.getfixturevalue("echo")
        with RerankClient(echo.settings) as client:
            yield client


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def silent(request: pytest.FixtureRequest) -> Iterator[RerankClient]:
    """A client of a fleet that never answers a query with the word `silent`."""
    if request.param == "memory":
        fleet = InMemoryFleet(score)
        fleet.be_late(math.inf)
        with fleet.client() as client:
            yield client
    else:
        echo: Echo = request.getfixturevalue("echo")
        with RerankClient(echo.settings) as client:
            yield client


@pytest.fixture
def documents() -> list[str]:
    """Texts that nobody has asked for before."""
    mark = uuid.uuid4().hex
    return [f"document {number} of {mark}" for number in range(12)]


def ranked(response: RerankResponse) -> list[tuple[int, float | None]]:
    return [(result.index, result.logit) for result in response.results]


def best_first(query: str, documents: list[str]) -> list[tuple[int, float]]:
    logits = [echo_worker.logit(query, document) for document in documents]
    return sorted(enumerate(logits), key=lambda pair: (-pair[1], pair[0]))


def test_the_best_come_first_and_no_more_than_asked_for(client: RerankClient, documents: list[str]) -> None:
    response = client.rerank("any words", documents, top_n=5)
    assert ranked(response) == best_first("any words", documents)[:5]
    assert (response.complete, response.usage.pairs_run, len(response.workers)) == (True, 12, 1)


def test_scores_are_activated(client: RerankClient, documents: list[str]) -> None:
    for result in client.rerank("q", documents).results:
        assert result.logit is not None
        assert result.relevance_score == pytest.approx(1 / (1 + math.exp(-result.logit)))


def test_ids_and_metadata_come_back(client: RerankClient, documents: list[str]) -> None:
    given: Documents = [
        documents[0],
        {"text": documents[1], "id": "one"},
        Document(text=documents[2], metadata={"page": 3}),
    ]
    told = {result.index: (result.id, result.metadata) for result in client.rerank("q", given).results}
    assert told == {0: (None, None), 1: ("one", None), 2: (None, {"page": 3})}


def test_several_first_stages_are_fused(client: RerankClient, documents: list[str]) -> None:
    lists = [documents[:4], documents[2:6]]
    response = client.rerank("q", lists=lists, max_candidates=3)
    fused = fuse(lists, limit=3)
    assert ranked(response) == best_first("q", [str(candidate.text) for candidate in fused])
    assert all(result.ranks == list(fused[result.index].ranks) for result in response.results)


def test_what_is_served_is_told(client: RerankClient) -> None:
    info = client.model_info()
    assert info.name == client.settings.model
    assert (len(info.digest or ""), info.max_length) == (64, 512)


def test_a_submitted_request_is_collected(client: RerankClient, documents: list[str]) -> None:
    handle = client.submit("q", [{"id": text[-4:], "text": text} for text in documents], job_class="bulk", tenant="t")
    response = client.collect(handle)
    assert ranked(response) == best_first("q", documents)
    assert ranked(client.collect(str(handle))) == ranked(response)
    told = client.status(handle)
    assert (told.state, told.job_class, told.tenant) == ("done", "bulk", "t")


def test_a_model_that_fails_is_told(client: RerankClient, documents: list[str]) -> None:
    with pytest.raises(ScoringFailed):
        client.rerank("fail", documents)
    handle = client.submit("fail", documents)
    with pytest.raises(ScoringFailed):
        client.collect(handle)
    assert client.status(handle).state == "failed"


def test_a_model_that_is_not_served_is_refused(client: RerankClient, documents: list[str]) -> None:
    with pytest.raises(UnknownModel, match=client.settings.model):
        client.rerank("q", documents, model="another")


def test_what_nobody_submitted_is_lost(client: RerankClient) -> None:
    for ask in (client.collect, client.status):
        with pytest.raises(JobLost, match="no submitted request 'nothing'"):
            ask("nothing")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.rerank(" ", ["a"]), "query"),
        (lambda client: client.rerank("q", "a"), "documents"),
        (lambda client: client.rerank("q", ["a"], max_length=513), "513 is beyond the 512"),
        (lambda client: client.rerank("q", [{"token_ids": [1]}], tokenizer_digest="0" * 64), "tokenizer_digest"),
    ],
    ids=["query", "documents", "max_length", "tokenizer"],
)
def test_wrong_requests_are_refused(client: RerankClient, call: Callable[[RerankClient], object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        call(client)


def test_a_deadline_in_the_past_is_an_answer_in_first_stage_order(client: RerankClient, documents: list[str]) -> None:
    response = client.rerank("q", documents, deadline_ms=0)
    assert ranked(response) == [(number, None) for number in range(12)]
    assert not response.complete
    with pytest.raises(DeadlineTooShort):
        client.rerank("q", documents, deadline_ms=0, partial=False)


def test_silence_ends_at_the_deadline(silent: RerankClient, documents: list[str]) -> None:
    response = silent.rerank("silent", documents, deadline_ms=300)
    assert ranked(response) == [(number, None) for number in range(12)]
    with pytest.raises(DeadlineExceeded, match="one worker process is alive"):
        silent.rerank("silent", documents, deadline_ms=300, partial=False)


def test_who_waits_for_silence_may_ask_again(silent: RerankClient, documents: list[str]) -> None:
    handle = silent.submit("silent", documents)
    assert silent.status(handle).state == "waiting"
    with pytest.raises(DeadlineExceeded):
        silent.collect(handle, timeout_ms=100)
    assert not silent.collect(handle, timeout_ms=100, partial=True).complete


def test_first_stage_scores_count_in_the_order(client: RerankClient, documents: list[str]) -> None:
    scored = [Document(id="a", text=documents[0], score=1.0), Document(id="b", text=documents[1], score=30.0)]
    response = client.rerank("fused", scored, fusion="weighted", fusion_ratio=1.0, fusion_weight=100)
    assert [(result.id, result.first_stage_score) for result in response.results] == [("b", 30.0), ("a", 1.0)]
    plain = client.rerank("fused", scored)
    assert plain.fusion is None
    assert {result.id: result.logit for result in plain.results} == {
        result.id: result.logit for result in response.results
    }
    for result in response.results:
        assert result.logit is not None
        expected = result.logit + 100 * ((result.first_stage_score or 0.0) - 15.5)
        assert result.fused_score == pytest.approx(expected)


def test_a_submitted_request_is_fused_when_it_is_collected(client: RerankClient, documents: list[str]) -> None:
    asked: RequestOptions = {"fusion": "rrf", "scores": [1.0, 3.0, 2.0], "fusion_weight": math.inf}
    now = client.rerank("fused later", documents[:3], **asked)
    later = client.collect(client.submit("fused later", documents[:3], **asked))
    assert [result.index for result in later.results] == [result.index for result in now.results] == [1, 2, 0]
    assert [result.fused_score for result in later.results] == [result.fused_score for result in now.results]
    assert later.fusion == now.fusion


def test_a_ratio_is_learned_while_requests_are_answered(client: RerankClient, documents: list[str]) -> None:
    name = f"stage-{uuid.uuid4().hex}"
    answers = [
        client.rerank("fused often", documents[:4], fusion="weighted", scores=[4, 3, 2, 1], first_stage=name).fusion
        for _ in range(TRUSTED_REQUESTS + 1)
    ]
    told = [(each.applied, each.learned_requests) for each in answers if each is not None]
    assert told == [
        *(("zscore", request) for request in range(TRUSTED_REQUESTS)),
        ("weighted", TRUSTED_REQUESTS),
    ]
    # All requests were the same one, so what they taught is its own ratio.
    ratios = [each.ratio for each in answers if each is not None]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


@pytest.mark.parametrize("score", [math.nan, math.inf, "high", True])
def test_a_first_stage_score_that_is_no_number_is_named(client: RerankClient, score: object) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\.1\.score: a finite number expected"):
        client.rerank("q", ["a", {"text": "b", "score": score}])
