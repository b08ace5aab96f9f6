"""The gateway goes on with its caller's trace, and the workers with the gateway's, also behind a fork server."""

from __future__ import annotations

import pytest

from conftest import StartGateway
from rerank_ops.local.fleet import local_fleet
from rerank_shared.settings import Settings
from support.collector import Collector

pytestmark = pytest.mark.integration

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = {"query": "how many?", "documents": ["three million xylophones", "none"]}


def test_a_trace_goes_from_the_http_request_into_a_forked_worker(
    collector: Collector, settings: Settings, start_gateway: StartGateway
) -> None:
    with local_fleet(settings, processes=1):
        gateway = start_gateway(settings).wait_ready()
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "r-1"}
        with gateway.client() as http:
            assert http.post("/v2/rerank", json=BODY, headers=headers).status_code == 200
            assert http.post("/v2/rerank", json={"query": "how many?"}).status_code == 400
            assert http.get("/healthz").status_code == 200
        gateway.stop()
    # The worker has stopped too: what it had was flushed.
    server, refused = collector.named("POST /v2/rerank")
    assert (server.service, server.kind, server.trace_id, server.parent_id) == (
        "rerank-gateway",
        "SERVER",
        TRACE,
        CALLER,
    )
    assert server.attributes["http.route"] == "/v2/rerank"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["http.response.header.x-request-id"] == ["r-1"]
    (request,) = collector.children(server)
    sent = collector.children(request)[0]
    job = collector.children(sent)[0]
    assert (request.name, sent.kind, job.service) == ("rerank", "PRODUCER", "rerank-worker")
    assert {span.trace_id for span in (request, sent, job)} == {TRACE}
    assert refused.trace_id != TRACE
    # A wrong request is its sender's failure.
    assert (refused.attributes["http.response.status_code"], refused.failed) == (400, False)
    assert not [span for span in collector.spans if "health" in span.name]
    assert b"xylophones" not in collector.raw


def test_what_is_not_sampled_by_the_caller_is_not_exported(
    collector: Collector, settings: Settings, start_gateway: StartGateway
) -> None:
    with local_fleet(settings, processes=1):
        gateway = start_gateway(settings).wait_ready()
        with gateway.client() as http:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
            assert http.post("/v2/rerank", json=BODY, headers=headers).status_code == 200
        gateway.stop()
    # The batch is a root of its own trace, and would be sampled if its jobs did not count.
    assert collector.spans == []
