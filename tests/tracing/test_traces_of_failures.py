"""What a trace shows when something goes wrong: hedges, lost jobs, refusals, partial answers, drains, poison."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient, metrics
from rerank_shared.errors import JobPoisoned, RerankError
from support.collector import Collector, Received
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]
QUERY = "what does a trace show of a failure?"
DOCUMENTS = [f"document {n} of a request whose jobs have an unquiet life" for n in range(12)]


def outcomes(collector: Collector) -> set[str]:
    return {span.attributes["rerank.outcome"] for span in collector.spans if "rerank.outcome" in span.attributes}


def sent_again(span: Received) -> list[str]:
    return [attributes["rerank.reason"] for name, attributes in span.events if name == "sent again"]


def test_a_lost_job_is_seen_to_be_sent_again(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    counted = metrics.JOBS_SENT_AGAIN.labels("interactive", "lost")._value.get
    before = counted()
    fleet.processes[0].send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool, RerankClient(fleet.settings) as client:
        answer = pool.submit(client.rerank, QUERY, DOCUMENTS)
        wait_until(lambda: bool(fleet.client.hlen(fleet.keys.waiting("interactive"))), "the job on the queue")
        for key in fleet.client.keys(f"{fleet.keys.prefix}*"):
            if b":heartbeat" not in key and b"workers" not in key:
                fleet.client.delete(key)
        wait_until(lambda: len(traced.spans) >= 2, "the job sent again")
        fleet.processes[0].send_signal(signal.SIGCONT)
        assert answer.result().complete
    (request,) = traced.named("rerank")
    first, second, *_ = traced.children(request)
    assert "lost" in sent_again(request)
    assert counted() >= before + 1
    assert second.links == (first.span_id,)
    assert (first.attributes["rerank.attempt"], second.attributes["rerank.attempt"]) == (1, 2)


def test_an_answer_cut_by_its_deadline_is_no_failure(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet(refuse=False)
    long = [f"{n} " + "a long passage about nothing in particular " * 60 for n in range(60)]
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, long, deadline_ms=900)
    fleet.stop()
    (request,) = traced.named("rerank")
    assert not response.complete
    assert request.attributes["rerank.complete"] is False
    assert not request.failed


def test_a_refusal_has_the_code_of_its_error(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    long = [f"{n} " + "a long passage about nothing in particular " * 60 for n in range(60)]
    with RerankClient(fleet.settings) as client:
        client.rerank(QUERY, DOCUMENTS)
        with pytest.raises(RerankError) as refused:
            client.rerank(QUERY, long, deadline_ms=50, partial=False)
    request = traced.named("rerank")[-1]
    assert request.failed
    assert request.attributes["error.type"] == refused.value.code


def test_a_worker_that_stops_gives_its_jobs_back_and_exports_that(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    long = [f"{n} " + "a long passage about nothing in particular " * 60 for n in range(25)]
    with ThreadPoolExecutor(1) as pool, RerankClient(fleet.settings) as client:
        answer = pool.submit(client.rerank, QUERY, long, deadline_ms=120_000)
        wait_until(lambda: fleet.held_jobs() > 0, "the job in the worker")
        fleet.processes[0].terminate()
        fleet.processes[0].wait()
        assert "given back" in outcomes(traced)
        other = start_fleet()
        assert answer.result().complete
    other.stop()
    given_back = [span for span in traced.spans if span.attributes.get("rerank.outcome") == "given back"]
    (request,) = traced.named("rerank")
    assert {(span.trace_id, span.failed) for span in given_back} == {(request.trace_id, False)}
    assert "complete" in outcomes(traced)


def test_a_job_that_is_set_aside_shows_in_its_own_trace(
    traced: Collector, start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORTAL_WORD", "poison")
    fleet = start_fleet(mortal="word", max_deaths=1, redelivery_s=1.0)
    with RerankClient(fleet.settings) as client:
        # A job that is waited for may be sent twice, and the copy answered by the second worker.
        handle = client.submit("poison", DOCUMENTS)
        fleet.processes[0].wait()
        fleet.start()
        with pytest.raises(JobPoisoned):
            client.collect(handle)
    (request,), (collected,) = traced.named("submit"), traced.named("collect")
    (settled,) = traced.await_spans(f"settle {fleet.keys.queue_list('interactive')}")
    assert (settled.trace_id, settled.kind, settled.failed) == (request.trace_id, "CLIENT", True)
    assert settled.attributes["rerank.deaths"] == 1
    assert collected.attributes["error.type"] == "job_poisoned"


def test_a_collector_that_is_away_delays_neither_answers_nor_the_end(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    fleet = start_fleet(grace_s=10.0)
    with RerankClient(fleet.settings) as client:
        assert client.rerank(QUERY, DOCUMENTS).complete
    fleet.processes[0].terminate()
    # A supervisor would kill it after its grace.
    assert fleet.processes[0].wait(timeout=10) == 0
