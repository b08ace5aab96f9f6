"""Descriptions of the server, for clients of other servers, which some applications read before they add one.

Text Embeddings Inference has it at /info, Weaviate's transformers container at /meta, Xinference at /v1/cluster/auth.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.apis.tei import TEI
from rerank_producer.apis.weaviate import WEAVIATE
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.operation import Operation, Success
from rerank_shared.contract.schemas import ModelInfo

#: The name that configs of models give a label without one.
_LABEL = "LABEL_0"


class TeiReranker(BaseModel):
    """The labels of a reranker's head, of which there is one."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(BaseModel):
    """What kind of model is served."""

    reranker: TeiReranker


class TeiInfo(BaseModel):
    """Answer of `GET /info`, as Text Embeddings Inference has it."""

    model_id: str
    model_sha: str | None = Field(description="SHA-256 of its weights.")
    model_dtype: str | None
    model_type: TeiModelType
    max_concurrent_requests: int = Field(description="Requests that one gateway process has open at once.")
    max_input_length: int = Field(description="Tokens of a pair, at most.")
    max_client_batch_size: int = Field(description="Texts a request, at most.")
    auto_truncate: bool = Field(description="True: over-long texts are cut.")
    version: str = Field(description="Release of Rerank Fleet.")


class WeaviateMeta(BaseModel):
    """Answer of `GET /meta`."""

    model: str
    version: str = Field(description="Release of Rerank Fleet.")


class ClusterAuth(BaseModel):
    """Answer of `GET /v1/cluster/auth`: Xinference's clients send their key where it says true, and only there."""

    auth: bool


async def _info(exchange: Exchange) -> Response:
    gateway, info = exchange.gateway, await _known(exchange)
    content: dict[str, Any] = {
        "model_id": info.name,
        "model_sha": info.digest,
        "model_dtype": info.precision,
        "model_type": {"reranker": {"id2label": {"0": _LABEL}, "label2id": {_LABEL: 0}}},
        "max_concurrent_requests": gateway.settings.max_open,
        "max_input_length": info.max_length,
        "max_client_batch_size": gateway.fleet.max_documents,
        "auto_truncate": True,
        "version": version("rerank-fleet"),
    }
    return exchange.respond(content)


async def _meta(exchange: Exchange) -> Response:
    info = await _known(exchange)
    return exchange.respond({"model": info.name, "version": version("rerank-fleet")})


async def _cluster_auth(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    return JSONResponse({"auth": gateway.keyring is not None})


async def _known(exchange: Exchange) -> ModelInfo:
    """Return the gateway's own model. Raises Refused for a key that is wrong or may not use it, and while no worker has
    announced it.
    """
    gateway = exchange.gateway
    resolved = await gateway.models.resolve(None, exchange.key())
    info = await gateway.client.model_info(resolved.model)
    if info.max_length is None:
        message = "no worker has announced a model yet; try again"
        raise Refused(Problem(503, "not_ready", message, retryable=True, retry_after_s=1.0))
    return info


_REFUSALS = (401, 403, 404, 500, 503)
OPERATIONS = (
    Operation(
        "/info",
        served(TEI, _info),
        operation_id="info",
        summary="The model, as Text Embeddings Inference tells it",
        success=Success((TeiInfo,)),
        errors=(TEI.error,),
        refusals=_REFUSALS,
    ),
    Operation(
        "/meta",
        served(WEAVIATE, _meta),
        operation_id="meta",
        summary="The model, as Weaviate's transformers container tells it",
        success=Success((WeaviateMeta,)),
        errors=(WEAVIATE.error,),
        refusals=_REFUSALS,
    ),
    Operation(
        "/v1/cluster/auth",
        _cluster_auth,
        operation_id="cluster_auth",
        summary="Whether a key is needed, as Xinference tells it",
        success=Success((ClusterAuth,)),
        public=True,
    ),
)
