"""Liveness and readiness: /healthz, /readyz, and the names that other servers have for them.

A gateway is alive while it runs. It is ready while a warm worker is alive and it does not drain. These paths need no
key, and answer HEAD too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.routes.operation import Operation, Success

#: Text Embeddings Inference, Infinity and SageMaker's containers have /ping; Weaviate's client asks /.well-known/live.
_ALIVE = ("/healthz", "/ping", "/.well-known/live")
#: Text Embeddings Inference, vLLM, Infinity and llama.cpp have /health; Weaviate starts when /.well-known/ready is 200.
_READY = ("/readyz", "/health", "/.well-known/ready")


class Health(BaseModel):
    """The state of one gateway process."""

    status: Literal["ok", "ready", "not ready"]
    reason: str | None = Field(None, description="What is missing.")


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


def _operations() -> Iterator[Operation]:
    for path in (*_ALIVE, *_READY):
        ready = path in _READY
        handler = readyz if ready else healthz
        yield Operation(
            path,
            handler,
            operation_id=path.strip("/").replace(".", "").replace("-", "_").replace("/", "_"),
            summary="Whether it can answer" if ready else "Whether it runs",
            description=handler.__doc__,
            methods=("GET", "HEAD"),
            success=Success((Health,)),
            errors=(Health,),
            refusals=(503,) if ready else (),
            public=True,
        )


OPERATIONS = tuple(_operations())
