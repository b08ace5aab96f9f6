"""GET /v1/models and /v1/models/{id}: the served models, as OpenAI's, vLLM's and Xinference's clients read them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from rerank_producer.apis.common.generic_error import GENERIC_ERRORS
from rerank_producer.apis.fleet import FLEET
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.http.headers import printable
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.operation import Operation, Success


class ModelView(BaseModel):
    """A served model. Beside what OpenAI has: vLLM's `root` and `max_model_len`, Xinference's `model_type`."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Epoch seconds of this answer; OpenAI's clients expect some time here.")
    owned_by: Literal["rerank-fleet"]
    root: str = Field(description="Its own name, where `id` is another that it answers for.")
    model_type: Literal["rerank"]
    max_model_len: int | None = Field(description="Tokens of a pair, at most. The same as `max_length`.")
    digest: str | None = Field(description="SHA-256 of its weights.")
    precision: str | None
    max_length: int | None = Field(description="Tokens of a pair, at most.")


class ModelList(BaseModel):
    """The served models."""

    object: Literal["list"]
    data: list[ModelView]


async def _models(exchange: Exchange) -> Response:
    exchange.key()
    gateway = exchange.gateway
    names = sorted(await gateway.models.names())
    data = await asyncio.gather(*(_view(gateway, name, name) for name in names))
    return exchange.respond({"object": "list", "data": data})


async def _model(exchange: Exchange) -> Response:
    gateway, name = exchange.gateway, exchange.request.path_params["model_id"]
    if not name:
        return await _models(exchange)
    exchange.key()
    view = await _view(gateway, name, (await gateway.models.resolve(name)).model)
    return exchange.respond(view, headers={"x-rerank-model": printable(view["root"])})


async def _view(gateway: Gateway, name: str, model: str) -> dict[str, Any]:
    info = await gateway.client.model_info(model)
    return {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "rerank-fleet",
        "root": info.name,
        "model_type": "rerank",
        "max_model_len": info.max_length,
        "digest": info.digest,
        "precision": info.precision,
        "max_length": info.max_length,
    }


OPERATIONS = (
    Operation(
        "/v1/models",
        served(FLEET, _models),
        operation_id="models",
        summary="Models that the fleet serves",
        success=Success((ModelList,)),
        errors=(FLEET.error,),
        refusals=(401, 403, 500, 503),
    ),
    Operation(
        # Names have slashes.
        "/v1/models/{model_id:path}",
        served(GENERIC_ERRORS, _model),
        operation_id="model",
        summary="The model that answers for a name",
        parameters=(
            {"name": "model_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
        ),
        success=Success((ModelView,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=(401, 403, 404, 500, 503),
    ),
)
