"""StoredRequest requests: how they stand, when they are answered, and when nothing is known of them any more."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from rerank_producer import RerankClient
from rerank_producer._dispatch import collect
from rerank_producer._io.port import drive
from rerank_producer.fusion import FirstStage
from rerank_producer.handles import JobState
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import DeadlineExceeded, JobLost, ScoringFailed
from support.in_memory import OPTIONS, Parts


@pytest.fixture
def parts() -> Parts:
    return Parts(lambda query, document: float(len(document)), pair_s=1.0, result_ttl_s=100)


@pytest.fixture
def client(parts: Parts) -> Iterator[RerankClient]:
    """Another client than the one that submitted."""
    with parts.fleet.client() as client:
        yield client


def submit(parts: Parts, documents: list[str] | None = None, **options: object) -> str:
    return drive(parts.pipeline.submit(parts.port, "q", FirstStage(documents or ["a", "bb"]), OPTIONS | options))


def collected(parts: Parts, job_id: str, timeout_ms: float | None = None, *, partial: bool = False) -> RerankResponse:
    flow = parts.pipeline
    return drive(
        collect.collect(parts.port, flow.keys, flow.failover, flow.learned, job_id, timeout_ms, partial=partial)
    )


def state(parts: Parts, job_id: str) -> JobState:
    return drive(collect.status(parts.port, parts.pipeline.keys, parts.pipeline.failover, job_id)).state


def test_a_job_waits_until_it_is_done(parts: Parts) -> None:
    job_id = submit(parts)
    assert state(parts, job_id) == "waiting"
    parts.fleet.advance(2.5)
    assert state(parts, job_id) == "done"


def test_a_job_that_failed_is_told_and_raised(parts: Parts) -> None:
    parts.fleet.fail_with(ScoringFailed("no"))
    job_id = submit(parts)
    parts.fleet.advance(2.5)
    assert state(parts, job_id) == "failed"
    with pytest.raises(ScoringFailed, match="no"):
        collected(parts, job_id)


def test_a_job_that_nobody_answered_is_late(parts: Parts) -> None:
    parts.fleet.be_late(math.inf)
    job_id = submit(parts, deadline_ms=5_000)
    parts.fleet.advance(6.0)
    assert state(parts, job_id) == "late"


def test_an_answer_is_waited_for_no_longer_than_it_takes(parts: Parts) -> None:
    job_id = submit(parts)
    response = collected(parts, job_id)
    assert [(result.index, result.logit) for result in response.results] == [(1, 2.0), (0, 1.0)]
    assert parts.pipeline.clock.monotonic() == 2.0


def test_an_answer_that_is_there_needs_one_trip(parts: Parts) -> None:
    job_id = submit(parts)
    parts.fleet.advance(3.0)
    parts.port.trips.clear()
    assert collected(parts, job_id).complete
    assert parts.port.trips == ["pipeline"]


def test_who_gave_up_may_ask_again(parts: Parts, client: RerankClient) -> None:
    job_id = submit(parts)
    with pytest.raises(DeadlineExceeded):
        client.collect(job_id, timeout_ms=500)
    assert client.collect(job_id, timeout_ms=60_000).complete
    assert parts.pipeline.clock.monotonic() == 2.0


def test_the_request_s_own_deadline_bounds_the_wait(parts: Parts) -> None:
    parts.fleet.be_late(math.inf)
    job_id = submit(parts, deadline_ms=4_000)
    with pytest.raises(DeadlineExceeded):
        collected(parts, job_id, 60_000)
    assert parts.pipeline.clock.monotonic() == pytest.approx(4.0)


def test_what_is_incomplete_is_an_error_unless_asked_for(parts: Parts) -> None:
    job_id = submit(parts, ["a", "bb", "ccc", "dddd"], deadline_ms=2_500)
    with pytest.raises(DeadlineExceeded, match="2 of its 4 documents"):
        collected(parts, job_id)
    assert [result.scored for result in collected(parts, job_id, partial=True).results] == [True, True, False, False]


def test_what_nobody_submitted_is_lost(parts: Parts) -> None:
    with pytest.raises(JobLost, match="no submitted request 'job-1'"):
        collected(parts, "job-1")
    with pytest.raises(JobLost):
        state(parts, "job-1")


def test_an_answer_is_kept_for_its_time_after_the_deadline(parts: Parts) -> None:
    job_id = submit(parts, deadline_ms=10_000)
    parts.fleet.advance(101.0)
    assert state(parts, job_id) == "done"
    parts.fleet.advance(10.0)
    with pytest.raises(JobLost):
        collected(parts, job_id)


def evict_job(parts: Parts) -> None:
    """Lose the job and keep the request, which is written apart."""
    server = parts.fleet._server
    server.store.end(*server.store.names(parts.pipeline.keys.backlog("interactive")))
    parts.fleet._workers.forget()


def test_a_job_that_the_server_lost_is_told_while_it_is_waited_for(parts: Parts) -> None:
    job_id = submit(parts)
    parts.fleet.after(0.7, lambda: evict_job(parts))
    with pytest.raises(JobLost, match="is gone"):
        collected(parts, job_id)
    assert parts.pipeline.clock.monotonic() < 2.7


def test_a_job_that_the_server_lost_has_no_state(parts: Parts) -> None:
    job_id = submit(parts)
    evict_job(parts)
    with pytest.raises(JobLost, match="is gone"):
        state(parts, job_id)


def test_cached_scores_of_other_weights_are_not_mixed_in(parts: Parts, client: RerankClient) -> None:
    client.rerank("q", ["a"])
    job_id = submit(parts, ["a", "bb"])
    parts.fleet.serve(parts.model, lambda query, document: 0.0)
    with pytest.raises(JobLost, match="model changed"):
        collected(parts, job_id)


def test_cached_pairs_are_collected_without_a_worker(parts: Parts, client: RerankClient) -> None:
    client.rerank("q", ["a", "bb"])
    parts.fleet.workers = 0
    job_id = submit(parts)
    assert state(parts, job_id) == "done"
    assert all(result.cached for result in collected(parts, job_id).results)


def test_a_collector_leaves_no_waiter(parts: Parts) -> None:
    job_id = submit(parts)
    collected(parts, job_id)
    assert len(parts.port._pending) == 0
