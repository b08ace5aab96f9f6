"""Traces of a real fleet: what the client and its worker processes export, seen by a collector."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from conftest import StartFleet
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.testing import InMemoryFleet
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings, load_settings
from support.collector import Collector, Received

pytestmark = pytest.mark.integration

QUERY = "how many people live in Berlin, zanzibar-query?"
DOCUMENTS = [f"Berlin has {n} million inhabitants, quetzal-document." for n in range(1, 7)]


def one(spans: list[Received]) -> Received:
    assert len(spans) == 1, spans
    return spans[0]


def jobs_of(request: Received, collector: Collector) -> list[Received]:
    """Return the spans of a request's jobs in workers. On a busy machine a job is sent twice, and run once or twice."""
    return [job for sent in collector.children(request) for job in collector.children(sent)]


def batches_in(collector: Collector) -> list[Received]:
    return [span for span in collector.spans if "messaging.batch.message_count" in span.attributes]


def test_a_request_is_one_trace_from_the_call_to_the_model(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, DOCUMENTS, top_n=3)
    queue = fleet.keys.queue_list("interactive")
    fleet.stop()
    request = one(traced.named("rerank"))
    sent, job = traced.children(request)[0], jobs_of(request, traced)[0]
    batch = next(each for each in batches_in(traced) if job.span_id in each.links)
    assert (request.service, request.kind, request.parent_id) == ("app", "INTERNAL", "")
    assert request.attributes["openinference.span.kind"] == "RERANKER"
    assert request.attributes["reranker.model_name"] == response.model.name
    assert request.attributes["reranker.top_k"] == 3
    assert request.attributes["rerank.documents"] == len(DOCUMENTS)
    assert (sent.kind, sent.parent_id) == ("PRODUCER", request.span_id)
    assert (sent.name, job.name, batch.name) == (f"send {queue}", f"process {queue}", f"process {queue}")
    assert (job.service, job.kind, job.parent_id) == ("rerank-worker", "CONSUMER", sent.span_id)
    assert {span.trace_id for span in (request, sent, job)} == {request.trace_id}
    for span, operation in ((sent, "send"), (job, "process")):
        assert span.attributes["messaging.system"] == "redis"
        assert span.attributes["messaging.operation.name"] == span.attributes["messaging.operation.type"] == operation
        assert span.attributes["messaging.destination.name"] == queue
        assert span.attributes["messaging.message.id"] == response.id
        assert span.attributes["messaging.message.conversation_id"] == response.id
    assert sent.attributes["messaging.message.body.size"] > len(QUERY)
    assert job.attributes["rerank.outcome"] == "complete"
    assert (batch.kind, batch.parent_id) == ("CONSUMER", "")
    assert batch.attributes["messaging.batch.message_count"] == len(batch.links)
    assert batch.trace_id != job.trace_id
    assert batch.span_id in job.links
    stages = traced.children(job)
    assert [stage.name for stage in stages] == ["tokenize", "wait", "run"]
    assert all(one.ended_ns == two.began_ns for one, two in pairwise(stages))
    # The clocks of a process are read one after the other.
    assert job.began_ns - 10_000_000 <= stages[0].began_ns
    assert stages[-1].ended_ns <= job.ended_ns
    assert job.attributes["rerank.queue_ms"] >= 0


def test_no_text_is_exported_unless_asked_for(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    documents = [
        {"id": f"id-ocelot-{n}", "text": text, "metadata": {"m": "kinkajou"}} for n, text in enumerate(DOCUMENTS)
    ]
    with RerankClient(fleet.settings) as client:
        client.rerank(QUERY, documents, tenant="tenant-margay")
    traced.await_spans(f"process {fleet.keys.queue_list('interactive')}", 2)
    for secret in (b"zanzibar", b"quetzal", b"ocelot", b"kinkajou", b"margay"):
        assert secret not in traced.raw
    with RerankClient(fleet.settings.model_copy(update={"trace_content": True})) as client:
        response = client.rerank(QUERY, documents, top_n=2)
    cold, hot = traced.named("rerank")
    assert (cold.attributes["rerank.cache.misses"], hot.attributes["rerank.cache.hits"]) == (6, 6)
    assert traced.children(hot) == []
    told, best = hot.attributes, response.results[0]
    assert told["reranker.query"] == QUERY
    assert told["reranker.input_documents.5.document.content"] == DOCUMENTS[5]
    assert told["reranker.output_documents.0.document.id"] == best.id
    assert told["reranker.output_documents.0.document.content"] == DOCUMENTS[best.index]
    assert told["reranker.output_documents.0.document.score"] == best.relevance_score
    assert "reranker.output_documents.2.document.id" not in told


async def test_requests_of_one_loop_keep_to_their_own_traces(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    async with AsyncRerankClient(fleet.settings) as client:
        await asyncio.gather(*(client.rerank(f"{QUERY} {n}", DOCUMENTS[:2], job_class="bulk") for n in range(8)))
    fleet.stop()
    requests = traced.named("rerank")
    assert len({span.trace_id for span in requests}) == 8
    for request in requests:
        own = request.attributes["messaging.message.conversation_id"]
        assert {job.attributes["messaging.message.conversation_id"] for job in jobs_of(request, traced)} == {own}
    run = {job.span_id for request in requests for job in jobs_of(request, traced) if job.links}
    assert {link for batch in batches_in(traced) for link in batch.links} == run
    assert all(batch.attributes["messaging.batch.message_count"] == len(batch.links) for batch in batches_in(traced))


def test_a_submitted_request_is_traced_from_its_submission(traced: Collector, start_fleet: StartFleet) -> None:
    fleet = start_fleet()
    with RerankClient(fleet.settings) as client:
        response = client.collect(client.submit(QUERY, DOCUMENTS))
    fleet.stop()
    submitted, collected = one(traced.named("submit")), one(traced.named("collect"))
    assert one(jobs_of(submitted, traced)).attributes["messaging.message.id"] == response.id
    assert collected.attributes["messaging.message.conversation_id"] == response.id


@pytest.mark.parametrize(("documents", "options"), [([3], {}), (["a"], {"model": 7}), (["a"], {"job_class": "urgent"})])
def test_a_wrong_request_is_marked_and_sends_nothing(
    traced: Collector, settings: Settings, documents: Any, options: Any
) -> None:
    with RerankClient(settings) as client, pytest.raises(InvalidRequest):
        client.rerank(QUERY, documents, **options)
    request = one(traced.named("rerank"))
    assert request.failed
    assert request.attributes["error.type"] == "invalid_request"
    assert traced.children(request) == []


def test_odd_and_many_texts_push_nothing_else_out(traced: Collector) -> None:
    settings = load_settings(trace_content=True)
    documents = [{"id": f"d{number}", "text": f"\ud800 {number}"} for number in range(200)]
    with InMemoryFleet(score=lambda query, document: float(len(document)), settings=settings).client() as client:
        client.rerank("\udfff zanzibar", documents)
    told = one(traced.named("rerank")).attributes
    assert told["openinference.span.kind"] == "RERANKER"
    assert "zanzibar" in told["reranker.query"]
    assert told["reranker.input_documents.19.document.id"] == "d19"
    assert told["rerank.complete"] is True
