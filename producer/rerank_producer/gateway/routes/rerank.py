"""The paths where reranks come in, and the APIs that share each; the body tells the APIs of one path apart.

A request is authorised, read, parsed by its API, scored by the fleet and rendered by its API again. After the API is
known, errors have its shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from rerank_producer.apis import COHERE_V2, DASHSCOPE, FLEET, NVIDIA, SCORE, SIMILARITY, dialect
from rerank_producer.apis.common.call import Api
from rerank_producer.apis.common.generic_error import GENERIC_ERRORS, PLAIN_ERRORS
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.request_limits import limits_of
from rerank_producer.gateway.http.disconnect import while_connected
from rerank_producer.gateway.http.headers import answer_headers, tei_headers
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.openapi import DEADLINE_HEADER, PARTIAL_HEADER, REFUSALS, REQUEST_ID_HEADER
from rerank_producer.gateway.routes.operation import Handler, Operation, Parameter, Success, deprecated

#: From a decoded body and the header that names an API to the API.
Choose = Callable[[Any, str | None], Api]
_HEADERS = (REQUEST_ID_HEADER, DEADLINE_HEADER, PARTIAL_HEADER)
_API_HEADER: Parameter = {
    "name": "X-Rerank-Api",
    "in": "header",
    "schema": {"type": "string", "enum": list(dialect.NAMED)},
}


def served_rerank(default: Api, choose: Choose | None = None) -> Handler:
    """Return the handler of a rerank path: errors have the shape of `default` until `choose` has found the API."""
    return served(default, lambda exchange: _rerank(exchange, default, choose))


async def _rerank(exchange: Exchange, default: Api, choose: Choose | None) -> Response:
    with exchange.gateway.open_request():
        key = exchange.key()
        body = await exchange.body(key)
        api = default if choose is None else choose(body, exchange.request.headers.get(dialect.HEADER))
        return await exchange.guarded(api, _answer(exchange, api, body, key))


async def _answer(exchange: Exchange, api: Api, body: Any, key: ApiKey | None) -> Response:
    exchange.gateway.answering.refuse_flood(body)
    parsed = api.parse(body)
    limits = limits_of(key, exchange.request.headers, exchange.started)
    work = exchange.gateway.answering.answer_all(parsed.calls, limits)
    replies = await while_connected(exchange.request.receive, work)
    content = parsed.render(exchange.request_id, replies)
    total_ms = (time.monotonic() - exchange.started) * 1000
    headers = answer_headers(replies, total_ms)
    if api.name == "tei":
        headers |= tei_headers(replies, total_ms)
    return exchange.respond(content, headers=headers)


def _one(path: str, summary: str, api: Api) -> Operation:
    """Return the operation of a path of one API."""
    return _operation(path, summary, served_rerank(api), (api,), api, api.__doc__)


def _several(path: str, summary: str, choose: Choose = dialect.choose, default: Api = GENERIC_ERRORS) -> Operation:
    """Return the operation of a path that several APIs share."""
    operation = _operation(path, summary, served_rerank(default, choose), dialect.SHARED, default, dialect.__doc__)
    return replace(operation, parameters=(*operation.parameters, _API_HEADER))


def _operation(
    path: str, summary: str, handler: Handler, apis: tuple[Api, ...], default: Api, description: str | None
) -> Operation:
    return Operation(
        path,
        handler,
        operation_id=path.strip("/").replace("/", "_"),
        summary=summary,
        description=description and description.strip(),
        methods=("POST",),
        parameters=_HEADERS,
        requests=tuple(dict.fromkeys(api.request for api in apis)),
        success=Success(tuple(dict.fromkeys(api.response for api in apis))),
        errors=tuple(dict.fromkeys((default.error, *(api.error for api in apis)))),
        refusals=REFUSALS,
    )


_FLEET = _one("/v1/fleet/rerank", "Rerank in the fleet's own shape: every score, logit, stage and worker", FLEET)
OPERATIONS = (
    _one("/v2/rerank", "Rerank as Cohere v2", COHERE_V2),
    _one("/v1/v2/rerank", "Where a Cohere client of v2 goes whose base URL ends in /v1", COHERE_V2),
    _several("/v1/rerank", "Rerank as Cohere v1, Jina, Voyage, vLLM and others, told apart by the body"),
    _several("/v1/v1/rerank", "Where one goes that adds v1 itself to a base URL that ends in it"),
    _several(
        "/rerank",
        "Rerank as Text Embeddings Inference, or as at /v1/rerank where the body has `documents`",
        dialect.choose_unversioned,
        PLAIN_ERRORS,
    ),
    _several("/api/rerank", "As /v1/rerank, where some look for it behind Ollama's base URL"),
    _several("/v1/reranking", "As /v1/rerank, by a name that llama.cpp has too"),
    _several("/reranking", "As /v1/rerank, by a name that llama.cpp has too"),
    _one("/v1/ranking", "Rank as NVIDIA's NIM containers", NVIDIA),
    _one("/ranking", "Rank as NVIDIA's NIM containers", NVIDIA),
    _one("/api/v1/services/rerank/text-rerank/text-rerank", "Rerank as DashScope", DASHSCOPE),
    _one("/score", "Score pairs as vLLM", SCORE),
    _one("/v1/score", "Score pairs as vLLM", SCORE),
    _one("/similarity", "Score sentences as Hugging Face's inference clients ask for it", SIMILARITY),
    _FLEET,
    deprecated(_FLEET, "/fleet/rerank"),
)
