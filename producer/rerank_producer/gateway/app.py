"""The gateway as an ASGI application: its routes, its middleware, and its answers to unknown paths and methods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.generic_error import GENERIC_ERRORS
from rerank_producer.gateway import pages
from rerank_producer.gateway.drain import drain_on_signals
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.http.normalized_paths import NormalizedPaths
from rerank_producer.gateway.routes import (
    batches,
    feedback,
    files,
    fleet,
    health,
    jobs,
    models,
    monitoring,
    openapi,
    rerank,
    server_info,
)
from rerank_producer.gateway.routes.exchange import Exchange
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import Settings
from rerank_shared.tracing.export import exporting

#: Headers of an answer that a page of another origin may read.
_EXPOSED = (
    "x-request-id",
    "server-timing",
    "retry-after",
    "x-rerank-complete",
    "x-rerank-truncated",
    "x-rerank-fusion",
    "x-rerank-id",
    "x-rerank-experiment",
    "x-rerank-model",
    "x-rerank-route",
    "deprecation",
    "link",
)
_TITLE = "Rerank Fleet"
_DESCRIPTION = "Reranking by a fleet of cross-encoder workers, in the shapes of APIs that people have code for."
#: Every path but the page's and the document's, the most asked first: the router tries them in turn.
OPERATIONS = (
    *rerank.OPERATIONS,
    *jobs.OPERATIONS,
    *feedback.OPERATIONS,
    *files.OPERATIONS,
    *batches.OPERATIONS,
    *server_info.OPERATIONS,
    *models.OPERATIONS,
    *fleet.OPERATIONS,
    *monitoring.OPERATIONS,
    *health.OPERATIONS,
)


def create_app(fleet_settings: Settings, settings: GatewaySettings) -> Starlette:
    """Return the application; nothing is connected before it runs. Raises ConfigurationError."""
    info = {"title": _TITLE, "description": _DESCRIPTION, "version": version("rerank-fleet")}
    app = Starlette(
        routes=[
            *(operation.route() for operation in OPERATIONS),
            openapi.openapi_route(OPERATIONS, info),
            *pages.routes(),
        ],
        lifespan=_lifespan,
        exception_handlers={HTTPException: _unknown_path_or_method},
    )
    # A redirect would have to name scheme and host; see NormalizedPaths.
    app.router.redirect_slashes = False
    app.state.gateway = Gateway(fleet_settings, settings)
    app.add_middleware(NormalizedPaths)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=list(_EXPOSED),
        )
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    gateway: Gateway = app.state.gateway
    with exporting("rerank-gateway"), drain_on_signals(gateway.drain, gateway.settings.drain_s):
        async with gateway:
            yield


async def _unknown_path_or_method(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    exchange = Exchange.of(request)
    message = f"{request.method} {request.url.path}: {error.detail}. GET {openapi.PATH} lists what there is"
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _methods(request)
    return exchange.refuse(GENERIC_ERRORS, Problem(error.status_code, "not_found", message, headers=headers))


def _methods(request: Request) -> str:
    """Return the methods of a path, by comma; Starlette's error has those of the path's first route alone."""
    found = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in found for method in getattr(route, "methods", None) or ()}))
