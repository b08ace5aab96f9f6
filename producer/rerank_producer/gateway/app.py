"""The gateway as an ASGI application: its paths, and who serves each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from rerank_producer.gateway.apis import dialect
from rerank_producer.gateway.apis.ask import Problem
from rerank_producer.gateway.apis.paths import RERANK_PATHS, RerankPath
from rerank_producer.gateway.apis.stand_in import TOLD
from rerank_producer.gateway.drain import told_of_signals
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.http.paths import PlainPaths
from rerank_producer.gateway.models import introductions
from rerank_producer.gateway.models import routes as models
from rerank_producer.gateway.routes import health, jobs, live_routes, pages
from rerank_producer.gateway.routes.exchange import Exchange, served_rerank
from rerank_producer.gateway.routes.openapi import REFUSALS, TERMS, Described, Header
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import Settings

#: What a page of another origin may read of an answer, beside the body.
_EXPOSED = ("x-request-id", "server-timing", "retry-after", "x-rerank-complete", "x-rerank-truncated", "x-rerank-model")


def create_app(fleet: Settings, settings: GatewaySettings) -> FastAPI:
    """Return the application; nothing is connected before it runs. Raises ConfigurationError."""
    app = FastAPI(
        title="Rerank Fleet",
        version=version("rerank-fleet"),
        description="Reranking by a fleet of cross-encoder workers, in the shapes of APIs that people have code for.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        exception_handlers={HTTPException: _no_such_path},
    )
    app.state.gateway = Gateway(fleet, settings)
    described = Described()
    for each in RERANK_PATHS:
        _add_rerank(app, described, each)
    for part in (jobs, introductions, models, live_routes, health):
        part.add_to(app, described)
    app.router.routes.extend(pages.routes())
    described.install(app, public=(*health.PATHS, introductions.CLUSTER_AUTH))
    app.add_middleware(PlainPaths)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=list(_EXPOSED),
        )
    return app


def _add_rerank(app: FastAPI, described: Described, each: RerankPath) -> None:
    problems = dict.fromkeys([each.default.error, *(api.error for api in each.apis)])
    answers = dict.fromkeys(api.response for api in each.apis)
    requests = dict.fromkeys(api.request for api in each.apis)
    handler = served_rerank(each.default, each.choose)
    # FastAPI's own route only describes it: what it does on the way to a handler that wants none of it takes a fifth of
    # a cached request.
    app.router.routes.insert(0, Route(each.path, handler, methods=["POST"]))
    app.add_api_route(
        each.path,
        handler,
        methods=["POST"],
        summary=each.summary,
        description=each.default.__doc__ if each.choose is None else dialect.__doc__,
        operation_id=each.path.strip("/").replace("/", "_"),
        response_class=Response,
        responses=described.answers({200: list(answers)}, list(problems), REFUSALS),
        openapi_extra=described.takes(*requests, headers=[*TERMS, *_api_header(each)]),
    )


def _api_header(each: RerankPath) -> list[Header]:
    """Return the header that says which of several APIs a body is of, where there are several."""
    if each.choose is None:
        return []
    return [{"name": "X-Rerank-Api", "in": "header", "schema": {"type": "string", "enum": list(dialect.NAMED)}}]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    gateway: Gateway = app.state.gateway
    with told_of_signals(gateway.drain, gateway.settings.drain_s):
        async with gateway:
            yield


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    exchange = Exchange.of(request)
    message = f"{request.method} {request.url.path}: {error.detail}. GET /openapi.json lists what there is"
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _methods(request)
    return exchange.refuse(TOLD, Problem(error.status_code, "not_found", message, headers=headers))


def _methods(request: Request) -> str:
    """Return the methods of a path; Starlette tells those of its first route alone."""
    found = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in found for method in getattr(route, "methods", None) or ()}))
