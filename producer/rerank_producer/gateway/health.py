"""/healthz: this process runs. /readyz: it can answer, since a warm worker is alive; no while it drains."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.openapi import Described

PATHS = ("/healthz", "/readyz")


class Health(BaseModel):
    """The state of one gateway process."""

    status: Literal["ok", "ready", "not ready"]
    reason: str | None = Field(None, description="What is missing.")


def add_to(app: FastAPI, described: Described) -> None:
    """Add the paths that balancers ask; they need no key."""
    for path, handler, summary in ((PATHS[0], healthz, "Whether it runs"), (PATHS[1], readyz, "Whether it can answer")):
        app.add_api_route(
            path,
            handler,
            methods=["GET"],
            summary=summary,
            operation_id=path.strip("/"),
            response_class=Response,
            responses=described.answers({200: [Health]}, [Health], (503,) if path == PATHS[1] else ()),
        )


async def healthz(request: Request) -> Response:
    """Say that this process runs, whatever else does not."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Say whether a request would be answered now: 200, or 503 with the reason."""
    gateway: Gateway = request.app.state.gateway
    reason = "draining" if gateway.draining else await gateway.readiness.lacking()
    if reason is None:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready", "reason": reason}, 503, headers={"retry-after": "1"})
