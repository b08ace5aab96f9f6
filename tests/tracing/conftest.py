"""A collector, and spans of this test process that go there, as those of the processes that a test starts do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from rerank_shared.tracing import spans
from support.collector import Collector


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector to which worker and gateway processes export from now on."""
    with Collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield running


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """The collector, with the spans of this process too: the SDK's provider, but not for the whole process."""
    provider = TracerProvider(resource=Resource.create({"service.name": "app"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    made = provider.get_tracer("test")
    monkeypatch.setattr(spans, "tracer", lambda: made)
    for module in ("rerank_producer._io.sending", "rerank_producer.gateway.http.server_span"):
        monkeypatch.setattr(f"{module}.tracer", lambda: made)
    yield collector
    provider.shutdown()
