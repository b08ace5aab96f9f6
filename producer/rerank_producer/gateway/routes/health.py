"""Whether a gateway runs, and whether it can answer, since a warm worker is alive; no while it drains.

/healthz and /readyz, and the names that the servers have for them that clients and monitors come from. All of them need
no key and answer HEAD too.
"""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.routes.openapi import Described

#: Text Embeddings Inference, Infinity and SageMaker's containers have /ping; Weaviate asks for the other.
_ALIVE = ("/healthz", "/ping", "/.well-known/live")
#: Text Embeddings Inference, vLLM, Infinity and llama.cpp have /health; Weaviate starts when the other says yes.
_READY = ("/readyz", "/health", "/.well-known/ready")
PATHS = (*_ALIVE, *_READY)


class Health(BaseModel):
    """The state of one gateway process."""

    status: Literal["ok", "ready", "not ready"]
    reason: str | None = Field(None, description="What is missing.")


def add_to(app: FastAPI, described: Described) -> None:
    """Add the paths that balancers and monitors ask."""
    for path in PATHS:
        ready = path in _READY
        for method in ("GET", "HEAD"):
            app.add_api_route(
                path,
                readyz if ready else healthz,
                methods=[method],
                summary="Whether it can answer" if ready else "Whether it runs",
                operation_id=_name(path) if method == "GET" else f"{_name(path)}_head",
                response_class=Response,
                responses=described.answers({200: [Health]}, [Health], (503,) if ready else ()),
            )


async def healthz(request: Request) -> Response:
    """Say that this process runs, whatever else does not."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Say whether a request would be answered now: 200, or 503 with the reason."""
    gateway: Gateway = request.app.state.gateway
    reason = "draining" if gateway.draining else await gateway.readiness.lacking()
    if reason is None:
        # llama.cpp's clients wait for this word.
        return JSONResponse({"status": "ready" if request.url.path == _READY[0] else "ok"})
    return JSONResponse({"status": "not ready", "reason": reason}, 503, headers={"retry-after": "1"})


def _name(path: str) -> str:
    return path.strip("/").replace(".", "").replace("-", "_").replace("/", "_")
