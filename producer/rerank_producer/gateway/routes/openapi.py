"""The OpenAPI document, made of the operations: each path with its request, answer and errors.

Bodies are read elsewhere, by the API that each belongs to: one path may serve several. So the schemas come from the
models of the APIs, and the document says `anyOf` where a path has more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rerank_producer.gateway.routes.operation import Model, Operation, Parameter

PATH = "/openapi.json"
_VERSION = "3.1.0"
_REF = "#/components/schemas/{model}"
_ERRORS = {
    400: "The request is wrong; the message names the field.",
    401: "No API key, or not one of this gateway's.",
    403: "The API key may not use the model; or, without keys, a page of another origin asks.",
    404: "The model is not served, or nothing of that id is known.",
    408: "The body took too long to arrive.",
    413: "The body is larger than this gateway or key allows.",
    415: "The body is compressed.",
    422: "The request is wrong; the message names the field.",
    424: "The model could not score a pair of this request.",
    429: "It would be late, or the key's tokens are spent; Retry-After says when to ask again.",
    499: "The job was revoked.",
    500: "The model could not score a pair of this request, or a bug.",
    502: "What a worker wrote could not be read.",
    503: "The queue is away or lost the texts, no worker of the model is alive, or too many requests are open.",
    504: "The deadline came first.",
    507: "The disk that files are stored on is full.",
}
#: Every status that a rerank request may get instead of an answer.
REFUSALS = tuple(status for status in _ERRORS if status != 507)
REQUEST_ID_HEADER: Parameter = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Comes back with the answer; one is made where there is none.",
    "schema": {"type": "string"},
}
DEADLINE_HEADER: Parameter = {
    "name": "X-Rerank-Deadline-Ms",
    "in": "header",
    "description": "Milliseconds from now, above 0, within which the answer must come.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "example": 300,
}
PARTIAL_HEADER: Parameter = {
    "name": "X-Rerank-Partial",
    "in": "header",
    "description": "false: an error where not all documents were scored in time, instead of what there is.",
    "schema": {"type": "string", "enum": ["true", "false", "1", "0"]},
}
_SECURITY_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer"},
    "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
#: The empty one: a gateway without keys asks for none.
_SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"key_header": []}, {}]


def openapi_route(operations: Sequence[Operation], info: dict[str, str]) -> Route:
    """Return the route of the document, which is made when it is first asked for. It needs no key."""

    @cache
    def content() -> bytes:
        return to_json(document(operations, info))

    async def openapi(_: Request) -> Response:
        return Response(content(), media_type="application/json")

    return Route(PATH, openapi, include_in_schema=False)


def document(operations: Iterable[Operation], info: dict[str, str]) -> dict[str, Any]:
    """Return the document of operations; `info` has `title`, `version` and `description`."""
    paths: dict[str, dict[str, Any]] = {}
    models: dict[Model, JsonSchemaMode] = {}
    for operation in operations:
        models |= dict.fromkeys(operation.requests, "validation")
        models |= dict.fromkeys((*operation.success.models, *operation.errors), "serialization")
        for method in operation.methods:
            paths.setdefault(operation.template, {})[method.lower()] = _described(operation, method)
    _, definitions = models_json_schema(list(models.items()), ref_template=_REF)
    components = {"schemas": definitions.get("$defs", {}), "securitySchemes": _SECURITY_SCHEMES}
    return {"openapi": _VERSION, "info": info, "paths": paths, "components": components}


def _described(operation: Operation, method: str) -> dict[str, Any]:
    first = method == operation.methods[0]
    operation_id = operation.operation_id if first else f"{operation.operation_id}_{method.lower()}"
    described: dict[str, Any] = {"summary": operation.summary, "operationId": operation_id}
    if operation.description is not None:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.requests:
        content = {operation.request_media_type: _schema(operation.requests)}
        described["requestBody"] = {"required": True, "content": content}
    described["responses"] = _responses(operation)
    if operation.successor is not None:
        described["deprecated"] = True
    if not operation.public:
        described["security"] = _SECURITY
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    success = operation.success
    answered: dict[str, Any] = {"description": success.description}
    if success.media_type is not None:
        answered["content"] = {success.media_type: _schema(success.models)}
    refused = {"application/json": _schema(operation.errors)}
    refusals = {str(each): {"description": _ERRORS[each], "content": refused} for each in operation.refusals}
    return {str(success.status): answered, **refusals}


def _schema(models: Sequence[Model]) -> dict[str, Any]:
    """Return a media type's schema: one of the models; none for no models."""
    references = [{"$ref": _REF.format(model=model.__name__)} for model in models]
    if not references:
        return {}
    return {"schema": references[0] if len(references) == 1 else {"anyOf": references}}
