"""One request from call to answer: what is sent, what is scored twice, and when there is no answer worth having."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from rerank_producer import metrics
from rerank_producer._io.port import drive
from rerank_producer.fusion import FirstStage
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import DeadlineExceeded, Overloaded, QueueUnavailable, ScoringFailed
from support.in_memory import OPTIONS, Parts


def rerank(
    parts: Parts, documents: list[str], *, partial: bool | Literal["scored"] = True, **options: object
) -> RerankResponse:
    given = FirstStage(documents)
    return drive(parts.pipeline.rerank(parts.port, "q", given, OPTIONS | options, partial=partial))


def logits(response: RerankResponse) -> list[tuple[int, float | None]]:
    return [(result.index, result.logit) for result in response.results]


def test_only_what_is_not_cached_is_sent() -> None:
    parts = Parts()
    rerank(parts, ["a", "b"])
    response = rerank(parts, ["b", "c", "a"])
    assert [job.documents for job in parts.fleet.jobs] == [("a", "b"), ("c",)]
    assert {result.index for result in response.results if result.cached} == {0, 2}


def test_what_is_cached_takes_one_trip() -> None:
    parts = Parts()
    rerank(parts, ["a"])
    parts.port.trips.clear()
    assert rerank(parts, ["a"]).complete
    assert parts.port.trips == ["lookup"]


def test_without_documents_nothing_is_asked() -> None:
    parts = Parts()
    assert rerank(parts, []).results == []
    assert parts.port.trips == []


def test_scores_of_weights_that_changed_are_not_mixed() -> None:
    """The look-up found a score of the weights before; the worker answered by those after."""
    parts = Parts(lambda query, document: 1.0)
    rerank(parts, ["a"])
    parts.fleet.serve(parts.model, lambda query, document: 2.0)
    response = rerank(parts, ["a", "b"])
    assert logits(response) == [(0, 2.0), (1, 2.0)]
    assert [job.documents for job in parts.fleet.jobs] == [("a",), ("b",), ("a", "b")]
    assert response.usage.pairs_cached == 0


def test_weights_that_changed_between_two_shards_mean_the_whole_again_in_one() -> None:
    parts = Parts(lambda query, document: 1.0, workers=2, pair_s=0.1)
    parts.fleet.after(0.35, lambda: parts.fleet.serve(parts.model, lambda query, document: 2.0))
    response = rerank(parts, [*"abcdefg"])
    assert {logit for _, logit in logits(response)} == {2.0}
    assert len(parts.fleet.jobs[-1].documents) == 7
    assert len(parts.fleet.jobs) == 3


def test_at_the_deadline_the_rest_stands_behind_in_first_stage_order() -> None:
    parts = Parts(lambda query, document: float(document), pair_s=0.5, shard=False)
    response = rerank(parts, ["1", "3", "2", "9", "8"], deadline_ms=1_600)
    assert logits(response) == [(1, 3.0), (2, 2.0), (0, 1.0), (3, None), (4, None)]
    assert not response.complete


def test_all_or_nothing_says_how_much_is_missing() -> None:
    parts = Parts(pair_s=0.5, shard=False, refuse=False)
    with pytest.raises(DeadlineExceeded, match="2 of its 5 documents"):
        rerank(parts, [*"abcde"], deadline_ms=1_600, partial=False)


def busy() -> Parts:
    """A fleet with a minute of work before whatever is asked, and one score in its cache."""
    parts = Parts(lambda query, document: 1.0, pair_s=1.0, aging_s=0.001)
    rerank(parts, ["cached"])
    with parts.fleet.client() as client:
        client.submit("before", [str(number) for number in range(60)])
    parts.fleet.advance(0.5)
    return parts


def test_a_refusal_is_raised_where_nothing_is_known() -> None:
    parts = busy()
    with pytest.raises(Overloaded):
        rerank(parts, ["new"], deadline_ms=2_000)


def test_a_refusal_is_a_partial_answer_where_something_is() -> None:
    parts = busy()
    response = rerank(parts, ["new", "cached"], deadline_ms=2_000)
    assert logits(response) == [(1, 1.0), (0, None)]


def test_a_deadline_that_passes_with_nothing_scored_is_an_answer_all_the_same() -> None:
    parts = Parts()
    parts.fleet.be_late(math.inf)
    assert logits(rerank(parts, ["a", "b"], deadline_ms=500)) == [(0, None), (1, None)]
    with pytest.raises(DeadlineExceeded):
        rerank(parts, ["a", "b"], deadline_ms=500, partial=False)


def test_who_wants_scores_gets_a_partial_answer_only_with_some() -> None:
    parts = Parts(lambda query, document: 1.0)
    rerank(parts, ["known"])
    parts.fleet.be_late(math.inf)
    assert logits(rerank(parts, ["a", "known"], deadline_ms=500, partial="scored")) == [(1, 1.0), (0, None)]
    with pytest.raises(DeadlineExceeded):
        rerank(parts, ["a", "b"], deadline_ms=500, partial="scored")


def test_a_server_that_is_away_from_the_start_is_told_at_once() -> None:
    parts = Parts()
    parts.fleet.go_away()
    with pytest.raises(QueueUnavailable):
        rerank(parts, ["a"])
    assert parts.pipeline.clock.monotonic() == 0.0


def test_a_server_that_went_away_while_waiting_ends_in_what_there_is() -> None:
    parts = Parts(pair_s=1.0)
    rerank(parts, ["cached"])
    parts.fleet.after(0.5, parts.fleet.go_away)
    with pytest.raises(QueueUnavailable):
        rerank(parts, ["a", "cached"], deadline_ms=2_000, partial=False)
    parts.fleet.come_back()
    parts.fleet.advance(60.0)
    parts.fleet.after(0.5, parts.fleet.go_away)
    assert [index for index, logit in logits(rerank(parts, ["b", "cached"], deadline_ms=2_000)) if logit] == [1]


def test_a_submitted_request_is_one_job_however_many_are_idle() -> None:
    parts = Parts(workers=8, pair_s=1.0)
    job_id = drive(parts.pipeline.submit(parts.port, "q", FirstStage([*"abcdefgh"]), OPTIONS))
    assert [job.job_id for job in parts.fleet.jobs] == [job_id]
    assert parts.port.trips == ["pipeline", "lookup", "enqueue"]


def test_a_submitted_request_of_cached_pairs_is_no_job() -> None:
    parts = Parts()
    rerank(parts, ["a"])
    drive(parts.pipeline.submit(parts.port, "q", FirstStage(["a"]), OPTIONS))
    assert len(parts.fleet.jobs) == 1


def test_what_is_served_is_told_by_its_weights() -> None:
    parts = Parts()
    info = drive(parts.pipeline.model_info(parts.port, None))
    assert (info.name, info.precision, info.max_length) == (parts.model, "in-memory", 512)
    unknown = drive(Parts(workers=0).pipeline.model_info(Parts(workers=0).port, "hf:org/name"))
    assert (unknown.name, unknown.digest) == ("org/name", None)


def test_requests_are_counted_by_how_they_end() -> None:
    def counted(outcome: str) -> float:
        return float(metrics.REQUESTS.labels("interactive", outcome)._value.get())

    before = [counted(outcome) for outcome in ("complete", "partial", "failed")]
    parts = Parts()
    rerank(parts, ["a"])
    parts.fleet.fail_with(ScoringFailed("no"))
    with pytest.raises(ScoringFailed):
        rerank(parts, ["b"])
    parts.fleet.workers = 0
    rerank(parts, ["c"])
    assert [counted(outcome) for outcome in ("complete", "partial", "failed")] == [each + 1 for each in before]
