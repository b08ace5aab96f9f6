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

from rerank_producer.gateway import dialect, health, jobs, live_routes, models, pages
from rerank_producer.gateway.apis import COHERE_V1, COHERE_V2, FLEET, JINA, SCORE, SIMILARITY, TEI, VOYAGE
from rerank_producer.gateway.apis.undecided import UNDECIDED
from rerank_producer.gateway.ask import Api, Problem
from rerank_producer.gateway.drain import told_of_signals
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.openapi import REFUSALS, TERMS, Described, Header
from rerank_producer.gateway.paths import PlainPaths
from rerank_producer.gateway.serve import Choose, Exchange, served_rerank
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import Settings

#: What a page of another origin may read of an answer, beside the body.
_EXPOSED = ("x-request-id", "server-timing", "retry-after", "x-rerank-complete", "x-rerank-truncated", "x-rerank-model")
_RERANKS: tuple[tuple[str, str, tuple[Api, ...], Api, Choose | None], ...] = (
    ("/v2/rerank", "Rerank as Cohere v2", (COHERE_V2,), COHERE_V2, None),
    ("/v1/rerank", "Rerank as Cohere v1, Jina or Voyage", (COHERE_V1, JINA, VOYAGE), UNDECIDED, dialect.choose),
    (
        "/rerank",
        "Rerank as Text Embeddings Inference, or as at /v1/rerank where the body has `documents`",
        (TEI, COHERE_V1, JINA, VOYAGE),
        UNDECIDED,
        dialect.choose_unversioned,
    ),
    ("/score", "Score pairs as vLLM", (SCORE,), SCORE, None),
    ("/v1/score", "Score pairs as vLLM", (SCORE,), SCORE, None),
    ("/similarity", "Score sentences as Hugging Face's inference clients ask for it", (SIMILARITY,), SIMILARITY, None),
    ("/fleet/rerank", "Rerank in the fleet's own shape: every score, logit, stage and worker", (FLEET,), FLEET, None),
)


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
    for path, summary, apis, default, choose in _RERANKS:
        _add_rerank(app, described, path, summary, apis, default, choose)
    for part in (jobs, models, live_routes, health):
        part.add_to(app, described)
    app.router.routes.extend(pages.routes())
    described.install(app, public=health.PATHS)
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


def _add_rerank(
    app: FastAPI,
    described: Described,
    path: str,
    summary: str,
    apis: tuple[Api, ...],
    default: Api,
    choose: Choose | None,
) -> None:
    problems = dict.fromkeys([default.error, *(api.error for api in apis)])
    handler = served_rerank(default, choose)
    # FastAPI's own route only describes it: what it does on the way to a handler that wants none of it takes a fifth of
    # a cached request.
    app.router.routes.insert(0, Route(path, handler, methods=["POST"]))
    app.add_api_route(
        path,
        handler,
        methods=["POST"],
        summary=summary,
        description=default.__doc__ if choose is None else dialect.__doc__,
        operation_id=path.strip("/").replace("/", "_"),
        response_class=Response,
        responses=described.answers({200: [api.response for api in apis]}, list(problems), REFUSALS),
        openapi_extra=described.takes(*(api.request for api in apis), headers=[*TERMS, *_api_header(apis)]),
    )


def _api_header(apis: tuple[Api, ...]) -> list[Header]:
    """Return the header that says which of several APIs a body is of, where there are several."""
    if len(apis) == 1:
        return []
    names = [api.name.removesuffix("-v1") for api in apis]
    return [{"name": "X-Rerank-Api", "in": "header", "schema": {"type": "string", "enum": names}}]


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
    return exchange.refuse(UNDECIDED, Problem(error.status_code, "not_found", message, headers=headers))


def _methods(request: Request) -> str:
    """Return the methods of a path; Starlette tells those of its first route alone."""
    found = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in found for method in getattr(route, "methods", None) or ()}))
