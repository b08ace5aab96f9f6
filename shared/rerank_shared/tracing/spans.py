"""Spans over OpenTelemetry's API. Where the API is not installed, or no SDK is set up, a span costs next to nothing.

This package never sets up an SDK by being imported: the program does, or a command of ours (tracing/export.py).
An error is recorded by its code alone, since messages of other packages may quote texts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from rerank_shared.errors import RerankError
from rerank_shared.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span as ApiSpan
    from opentelemetry.trace import Tracer

log = logging.getLogger(__name__)
#: Why there can be no spans; None where OpenTelemetry's API is there.
UNAVAILABLE: str | None = None
try:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Link, SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    _w3c = TraceContextTextMapPropagator()
    _tracer = trace.get_tracer("rerank_fleet", __version__)
except ImportError:
    UNAVAILABLE = "OpenTelemetry is not installed: pip install 'rerank-fleet[otel]'"
except Exception as error:
    # The API loads what OTEL_PROPAGATORS and others name, and fails where that is not installed. Answers matter more.
    UNAVAILABLE = f"an OTEL_ variable names what is not installed? error={error!r}"
    log.warning("there are no spans: %s", UNAVAILABLE)


def tracer() -> Tracer | None:
    """Return what makes spans; None where no SDK is set up yet, or none will be."""
    if UNAVAILABLE is not None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return _tracer


Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]
#: Headers that carry the context of a span: `traceparent` and `tracestate` of the W3C. Empty: there is no span.
Carrier = Mapping[str, str]


class Span:
    """A span of the API, or nothing."""

    __slots__ = ("_span",)

    def __init__(self, span: ApiSpan | None) -> None:
        self._span = span

    @property
    def recording(self) -> bool:
        """Whether somebody will see it: ask before computing attributes that cost something."""
        return self._span is not None and self._span.is_recording()

    @property
    def carrier(self) -> Carrier:
        """The headers that make another process's spans its children; empty without a trace."""
        if self._span is None or not self._span.get_span_context().is_valid:
            return {}
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, trace.set_span_in_context(self._span))
        return carrier

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Record that something happened now."""
        if self._span is not None:
            self._span.add_event(name, attributes)

    def link(self, other: Span) -> None:
        """Link another span."""
        if self._span is not None and other._span is not None and self._span.is_recording():
            self._span.add_link(other._span.get_span_context())

    def fail(self, code: str) -> None:
        """Mark it as failed with an error of this code."""
        if self._span is not None:
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, code)

    def end(self) -> None:
        """End it now."""
        if self._span is not None:
            self._span.end()

    def stages(self, began: float, ends: Mapping[str, float]) -> None:
        """Record the parts of it that are over, as children that follow each other by their names.

        Times are seconds of one clock; the last end is now.
        """
        if self._span is None or not self._span.is_recording() or (makes := tracer()) is None:
            return
        context, epoch_ns = trace.set_span_in_context(self._span), time.time_ns()
        now = list(ends.values())[-1]
        start_ns = epoch_ns - int((now - began) * 1e9)
        for name, ended in ends.items():
            end_ns = epoch_ns - int((now - ended) * 1e9)
            makes.start_span(name, context, start_time=start_ns).end(end_ns)
            start_ns = end_ns


#: Stands where there is no span.
NO_SPAN = Span(None)
_NOTHING = nullcontext(NO_SPAN)


def start_span(
    name: str,
    kind: str = "INTERNAL",
    attributes: Attributes | None = None,
    *,
    parent: Carrier | None = None,
    links: Sequence[Carrier] = (),
    root: bool = False,
) -> Span:
    """Start a span that is not the current one; the caller ends it.

    Its parent is `parent` if that is not empty, else the current span, or with `root` none.
    """
    return Span(_start(name, kind, attributes, parent, links, root))


def spanning(
    name: str,
    kind: str = "INTERNAL",
    attributes: Attributes | None = None,
    *,
    parent: Carrier | None = None,
    links: Sequence[Carrier] = (),
    expected: tuple[type[BaseException], ...] = (),
) -> AbstractContextManager[Span]:
    """Make a span the current one inside the block. An exception that is not `expected` marks it as failed."""
    span = _start(name, kind, attributes, parent, links)
    return _NOTHING if span is None else _spanning(span, expected)


def current_span() -> Span:
    """Return the current span."""
    return NO_SPAN if tracer() is None else Span(trace.get_current_span())


def read_http(headers: Mapping[str, str]) -> Carrier:
    """Return the context in the headers of an HTTP request, in any format that the program's propagators know."""
    if tracer() is None:
        return {}
    found = trace.get_current_span(propagate.extract(headers))
    return Span(found).carrier


def error_code(error: BaseException) -> str:
    """Return the name under which an error is recorded."""
    return error.code if isinstance(error, RerankError) else type(error).__name__


@contextmanager
def _spanning(span: ApiSpan, expected: tuple[type[BaseException], ...]) -> Iterator[Span]:
    ours = Span(span)
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield ours
        except expected:
            raise
        except BaseException as error:
            ours.fail(error_code(error))
            raise


def _start(
    name: str,
    kind: str,
    attributes: Attributes | None,
    parent: Carrier | None,
    links: Sequence[Carrier],
    root: bool = False,
) -> ApiSpan | None:
    if (makes := tracer()) is None:
        return None
    nothing = trace.set_span_in_context(trace.INVALID_SPAN) if root else None
    context = _context(parent) if parent else nothing
    linked = [Link(trace.get_current_span(_context(carrier)).get_span_context()) for carrier in links]
    return makes.start_span(name, context, kind=SpanKind[kind], attributes=attributes, links=linked)


def _context(carrier: Carrier) -> Context:
    # An empty context to start from, so that a carrier that can't be read is not taken for the current span.
    return _w3c.extract(carrier, trace.set_span_in_context(trace.INVALID_SPAN))
