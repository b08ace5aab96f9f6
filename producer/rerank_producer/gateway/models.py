"""GET /v1/models: what the fleet serves, in the shape that OpenAI's clients read."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import Response

from rerank_producer.gateway.apis.fleet import FLEET
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.openapi import Described
from rerank_producer.gateway.serve import Exchange, served
from rerank_shared.connections import outages_told


class ModelView(BaseModel):
    """A served model."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Epoch seconds of this answer; OpenAI's clients expect some time here.")
    owned_by: Literal["rerank-fleet"]
    digest: str | None = Field(description="SHA-256 of its weights.")
    precision: str | None
    max_length: int | None = Field(description="Tokens of a pair, at most.")


class ModelList(BaseModel):
    """The served models."""

    object: Literal["list"]
    data: list[ModelView]


def add_to(app: FastAPI, described: Described) -> None:
    """Add the path of models."""
    app.add_api_route(
        "/v1/models",
        served(FLEET, _models),
        methods=["GET"],
        summary="Models that the fleet serves",
        operation_id="models",
        response_class=Response,
        responses=described.answers({200: [ModelList]}, [FLEET.error], (401, 403, 500, 503)),
    )


async def _models(exchange: Exchange) -> Response:
    exchange.key()
    gateway = exchange.gateway
    names = await _announced(gateway)
    found = await asyncio.gather(*(gateway.client.model_info(name) for name in names))
    data: list[dict[str, Any]] = [
        {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "rerank-fleet",
            "digest": info.digest,
            "precision": info.precision,
            "max_length": info.max_length,
        }
        for name, info in zip(names, found, strict=True)
    ]
    return exchange.respond({"object": "list", "data": data})


async def _announced(gateway: Gateway) -> list[str]:
    with outages_told(gateway.fleet, "listing models"):
        seconds, _ = await gateway.redis.time()
        names: list[Any] = await gateway.redis.zrangebyscore(gateway.keys.models, seconds, "+inf")
    return sorted(name.decode() for name in names)
