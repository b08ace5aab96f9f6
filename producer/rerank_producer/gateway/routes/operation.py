"""An operation: one path with its methods, its handler, and what the OpenAPI document says of it.

Each path is declared once, as an Operation. The router serves it and the document describes it, so that neither knows
of a path that the other does not know.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rerank_producer.gateway.http.server_span import traced

Handler = Callable[[Request], Awaitable[Response]]
Model = type[BaseModel]
#: A parameter as OpenAPI spells it.
Parameter = dict[str, Any]
#: When the fleet's own paths got a version, 29 November 2026, seconds since 1970. The former paths go together.
_DEPRECATED_AT_S = 1_795_910_400
_CONVERTOR = re.compile(r":\w+(?=\})")


@dataclass(frozen=True, slots=True)
class Success:
    """The answer of an operation that went well: one of `models`, or none; `media_type` None means no body."""

    models: tuple[Model, ...] = ()
    status: int = 200
    description: str = "Answered."
    media_type: str | None = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One path, as it is served and as it is described.

    `requests` are the models of its body, of which one must fit, in JSON or in `request_media_type`; `errors` those of
    its errors, for each status of `refusals`. `operation_id` is the name of the first method; another one has its
    method behind it. A `public` operation takes no API key. `successor` is the path that replaces it, for an operation
    that is deprecated.
    """

    path: str
    handler: Handler
    operation_id: str
    summary: str
    success: Success
    methods: tuple[str, ...] = ("GET",)
    description: str | None = None
    parameters: tuple[Parameter, ...] = ()
    requests: tuple[Model, ...] = ()
    request_media_type: str = "application/json"
    errors: tuple[Model, ...] = ()
    refusals: tuple[int, ...] = ()
    public: bool = False
    successor: str | None = None

    @property
    def template(self) -> str:
        """The path as OpenAPI spells it: its parameters have names and no convertors."""
        return _CONVERTOR.sub("", self.path)

    def route(self) -> Route:
        """Return the route that serves the operation's methods, and no other."""
        # Probes ask every few seconds, and would be most of the traces.
        handler = self.handler if self.public else traced(self.handler, self.template)
        route = Route(self.path, handler, methods=self.methods)
        # Starlette adds HEAD to GET.
        route.methods = set(self.methods)
        return route


def deprecated(operation: Operation, path: str) -> Operation:
    """Return the alias of an operation at its former path, which clients should leave.

    It answers as the operation does, and two headers say that it will go: `Deprecation` (RFC 9745) has the time since
    when it is deprecated, `Link` the path that succeeds it.
    """

    async def handle(request: Request) -> Response:
        response = await operation.handler(request)
        successor = quote(operation.template.format(**request.path_params))
        response.headers["deprecation"] = f"@{_DEPRECATED_AT_S}"
        response.headers["link"] = f'<{successor}>; rel="successor-version"'
        return response

    return replace(
        operation,
        path=path,
        handler=handle,
        operation_id=path.strip("/").replace("/", "_"),
        description=f"Former name of `{operation.template}`.",
        successor=operation.template,
    )
