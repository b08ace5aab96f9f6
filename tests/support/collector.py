"""A collector of traces: takes OTLP over HTTP as a real one does, and keeps what comes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from support.waiting import wait_until


@dataclass(frozen=True)
class Received:
    """One span as it was received."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    #: Ids of the spans that it links.
    links: tuple[str, ...]
    events: tuple[tuple[str, dict[str, Any]], ...]
    failed: bool
    began_ns: int
    ended_ns: int


@dataclass
class Collector:
    """Listens on a port of its own inside a `with` block."""

    raw: bytes = b""
    spans: list[Received] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def await_spans(self, name: str, count: int = 1) -> list[Received]:
        """Return the spans of a name once there are `count` of them."""
        wait_until(lambda: len(self.named(name)) >= count, f"{count} spans {name!r}")
        return self.named(name)

    def named(self, name: str) -> list[Received]:
        """Return the spans of a name."""
        return [span for span in list(self.spans) if span.name == name]

    def children(self, parent: Received) -> list[Received]:
        """Return the spans whose parent this one is, by their begin."""
        found = [span for span in list(self.spans) if span.parent_id == parent.span_id]
        return sorted(found, key=lambda span: span.began_ns)

    def take(self, body: bytes) -> None:
        """Keep the spans of one request."""
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _plain(resource.resource.attributes)["service.name"]
            self.spans += [_received(service, span) for scope in resource.scope_spans for span in scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.take(body)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        return Handler


def _received(service: str, span: ProtoSpan) -> Received:
    return Received(
        service=service,
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_plain(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        events=tuple((event.name, _plain(event.attributes)) for event in span.events),
        failed=span.status.code == 2,
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes if isinstance(each, KeyValue)}


def _value(value: AnyValue) -> Any:
    if value.WhichOneof("value") == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, value.WhichOneof("value") or "string_value")
