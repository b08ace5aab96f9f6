"""The span of an HTTP request, by OpenTelemetry's conventions for HTTP servers. It goes on with the caller's trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from rerank_producer.gateway.http.headers import REQUEST_ID
from rerank_shared.tracing.spans import read_http, spanning, tracer

_SERVER_ERROR = 500


def traced(handler: Callable[[Request], Awaitable[Response]], route: str) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of the path `route` with a span around it, which ends when the head of the answer is known."""

    @wraps(handler)
    async def handle(request: Request) -> Response:
        if tracer() is None:
            return await handler(request)
        method = request.method
        asked = {"http.request.method": method, "http.route": route, "url.path": request.url.path}
        asked["url.scheme"] = request.url.scheme
        with spanning(f"{method} {route}", "SERVER", asked, parent=read_http(request.headers)) as span:
            response = await handler(request)
            span.set({"http.response.status_code": response.status_code})
            if (own_id := response.headers.get(REQUEST_ID)) is not None:
                span.set({f"http.response.header.{REQUEST_ID}": [own_id]})
            if response.status_code >= _SERVER_ERROR:
                span.fail(str(response.status_code))
            return response

    return handle
