"""GET /v1/models and /v1/models/{id}: models and routes, as clients of OpenAI, vLLM and Xinference read them."""

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
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import UnknownModel
from rerank_shared.routing.route import Route


class TargetView(BaseModel):
    """A model that a route leads to."""

    model: str
    percent: float = Field(description="Of the route's requests.")


class StageView(BaseModel):
    """A stage of a route."""

    model: str
    keep: int | Literal["auto"] | None = Field(description="Documents of the stage before that it scores; null: all.")


class RouteView(BaseModel):
    """What a route points to. Where it has stages, they answer in the place of the targets."""

    version: int
    about: str
    targets: list[TargetView]
    stages: list[StageView]


class ModelView(BaseModel):
    """A served model. Beside what OpenAI has: vLLM's `root` and `max_model_len`, Xinference's `model_type`."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Epoch seconds of this answer; OpenAI's clients expect some time here.")
    owned_by: Literal["rerank-fleet"]
    root: str = Field(description="Its own name, where `id` is another that it answers for, or a route.")
    model_type: Literal["rerank"]
    max_model_len: int | None = Field(description="Tokens of a pair, at most. The same as `max_length`.")
    digest: str | None = Field(description="SHA-256 of its weights.")
    precision: str | None
    max_length: int | None = Field(description="Tokens of a pair, at most.")
    available: bool = Field(
        description="Whether a live worker serves it now; of a route, each model that answers for it. Else a request "
        "waits for a worker, until its deadline."
    )
    route: RouteView | None = Field(
        description="Where `id` is a route; the model is the first stage's, or has the largest share."
    )


class ModelList(BaseModel):
    """The served models."""

    object: Literal["list"]
    data: list[ModelView]


async def _models(exchange: Exchange) -> Response:
    key, gateway = exchange.key(), exchange.gateway
    names = sorted({*await gateway.models.names(), *gateway.models.routes.names})
    names = [name for name in names if gateway.models.may_use(key, name)]
    data = await asyncio.gather(*(_view(gateway, name, name) for name in names))
    return exchange.respond({"object": "list", "data": data})


async def _model(exchange: Exchange) -> Response:
    gateway, name = exchange.gateway, exchange.request.path_params["model_id"]
    if not name:
        return await _models(exchange)
    resolved = await gateway.models.resolve(name, exchange.key())
    view = await _view(gateway, name, resolved.model)
    return exchange.respond(view, headers={"x-rerank-model": printable(view["root"])})


async def _view(gateway: Gateway, name: str, model: str) -> dict[str, Any]:
    route = gateway.models.routes.find(name)
    try:
        info = await gateway.client.model_info(model)
    except UnknownModel:
        # Nothing serves a route's models yet: the route is listed all the same.
        if route is None:
            raise
        info = ModelInfo(name=route.main)
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
        "available": gateway.models.is_available(name if route is not None else model),
        "route": None if route is None else _route(route),
    }


def _route(route: Route) -> dict[str, Any]:
    targets = [{"model": share.model, "percent": route.percent(share.model)} for share in route.shares]
    stages = [{"model": stage.model, "keep": stage.keep} for stage in route.stages]
    return {"version": route.version, "about": route.about, "targets": targets, "stages": stages}


OPERATIONS = (
    Operation(
        "/v1/models",
        served(FLEET, _models),
        operation_id="models",
        summary="Models and routes that the fleet serves, and the caller's key may use",
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
