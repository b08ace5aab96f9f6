"""Export of spans: sets up OpenTelemetry's SDK in a process of ours, by the OTEL_ variables that the SDK itself reads.

For the commands of `rerank-fleet` alone; a program that uses the clients sets up its own SDK. The SDK has a thread, so
a process that is forked sets it up after the fork. A collector that is away costs spans, and no request any time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from rerank_shared.tracing.spans import UNAVAILABLE
from rerank_shared.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PACKAGES = {
    "otlp_proto_grpc": "pip install opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "pip install 'rerank-fleet[otel]'",
}
#: How long a process that ends waits for its last spans to leave.
FLUSH_S = 2.0


@contextmanager
def exporting(service: str, instance: str | None = None, *, flush_s: float = FLUSH_S) -> Iterator[None]:
    """Export the spans of the block, if the environment asks for it; `instance` names this process.

    OTEL_SERVICE_NAME takes precedence over `service`. A failure to set up is logged, and spans are not exported.
    """
    provider = _set_up(service, instance)
    try:
        yield
    finally:
        if provider is not None:
            # The SDK waits longer for a collector that is away than this process may take to end.
            last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
            last.start()
            last.join(flush_s)


def exporters_asked(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the exporters that the OTEL_ variables ask for, as the SDK registers them."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return []
    default = "otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none"
    names = [name.strip() for name in (environ.get("OTEL_TRACES_EXPORTER") or default).split(",")]
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    return [otlp if name == "otlp" else name for name in names if name not in ("", "none")]


def _set_up(service: str, instance: str | None) -> TracerProvider | None:
    names = exporters_asked(os.environ)
    if not names:
        return None
    try:
        return _provider(names, service, instance)
    except ImportError as error:
        log.warning("no spans are exported: %s", error)
    except Exception as error:
        # Answers matter more than spans.
        log.warning("no spans are exported: an OTEL_ variable does not fit? error=%r", error)
    return None


def _provider(names: list[str], service: str, instance: str | None) -> TracerProvider | None:
    if UNAVAILABLE is not None:
        raise ImportError(f"OTEL_ variables ask for traces, and {UNAVAILABLE}")
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # `opentelemetry-instrument` was here first.
        return None
    known = {entry.name: entry for entry in entry_points(group="opentelemetry_traces_exporter")}
    if unknown := [name for name in names if name not in known]:
        raise ImportError(
            f"OTEL_ variables ask for {', '.join(unknown)}, and installed are {', '.join(sorted(known))}: "
            f"{' '.join(_PACKAGES.get(name, 'set OTEL_TRACES_EXPORTER to one of them') for name in unknown)}"
        )
    attributes = {"service.version": __version__} | ({"service.instance.id": instance} if instance else {})
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = service
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    for name in names:
        provider.add_span_processor(BatchSpanProcessor(known[name].load()()))
    trace.set_tracer_provider(provider)
    return provider
