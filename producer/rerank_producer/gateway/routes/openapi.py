"""The OpenAPI document: each path with its request, answer and errors. Only described here; bodies are read elsewhere.

FastAPI would parse and validate bodies by its own rules and in one shape of error. Here one path may be one of several
APIs, so the handlers take the bare request, and the document is put together from the models of each API.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

_REF = "#/components/schemas/{model}"
Model = type[BaseModel]
_ERRORS = {
    400: "The request is wrong; the message names the field.",
    401: "No API key, or not one of this gateway's.",
    403: "A browser asks for a page of another origin, and there are no API keys.",
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
    503: "The queue can't be reached, it lost the request's texts, or too many requests are open.",
    504: "The deadline came first.",
}
#: What a request with a body may be told instead of an answer.
REFUSALS = tuple(_ERRORS)
Header = dict[str, Any]
REQUEST_ID_HEADER: Header = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Comes back with the answer; one is made where there is none.",
    "schema": {"type": "string"},
}
DEADLINE_HEADER: Header = {
    "name": "X-Rerank-Deadline-Ms",
    "in": "header",
    "description": "Milliseconds from now, above 0, within which the answer must come.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "example": 300,
}
_PARTIAL_HEADER: Header = {
    "name": "X-Rerank-Partial",
    "in": "header",
    "description": "false: an error where not all documents were scored in time, instead of what there is.",
    "schema": {"type": "string", "enum": ["true", "false", "1", "0"]},
}
TERMS = (REQUEST_ID_HEADER, DEADLINE_HEADER, _PARTIAL_HEADER)


class Described:
    """The description of an application while it is put together: operations name models, which it collects."""

    def __init__(self) -> None:
        self._models: dict[Model, JsonSchemaMode] = {}

    def takes(self, *requests: Model, headers: Sequence[Header] = TERMS) -> dict[str, Any]:
        """Return the part of an operation that says what it takes: one of these bodies, on the terms of its headers."""
        body = {"required": True, "content": {"application/json": {"schema": self._schema(requests, "validation")}}}
        return {"requestBody": body, "parameters": list(headers)}

    def answers(
        self, good: Mapping[int, Sequence[Model]], problems: Sequence[Model], statuses: Iterable[int]
    ) -> dict[int | str, dict[str, Any]]:
        """Return the answers of an operation by status: good ones of these models; errors, each one of `problems`."""
        described: dict[int | str, dict[str, Any]] = {}
        for status, models in good.items():
            described[status] = self._answer("Answered.", models)
        for status in statuses:
            described[status] = self._answer(_ERRORS[status], problems)
        return described

    def install(self, app: FastAPI, *, public: Collection[str]) -> None:
        """Make it the application's document, with the key that all but `public` paths ask for."""

        def openapi() -> dict[str, Any]:
            if app.openapi_schema is None:
                app.openapi_schema = self._document(app, public)
            return app.openapi_schema

        app.openapi = openapi  # type: ignore[method-assign]

    def _answer(self, description: str, models: Sequence[Model]) -> dict[str, Any]:
        schema = self._schema(models, "serialization")
        return {"description": description, "content": {"application/json": {"schema": schema}}}

    def _schema(self, models: Sequence[Model], mode: JsonSchemaMode) -> dict[str, Any]:
        self._models |= dict.fromkeys(models, mode)
        references = [{"$ref": _REF.format(model=model.__name__)} for model in models]
        return references[0] if len(references) == 1 else {"anyOf": references}

    def _document(self, app: FastAPI, public: Collection[str]) -> dict[str, Any]:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, definitions = models_json_schema(list(self._models.items()), ref_template=_REF)
        components = document.setdefault("components", {})
        components["schemas"] = components.get("schemas", {}) | definitions["$defs"]
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        for path, operations in document["paths"].items():
            if path not in public:
                for operation in operations.values():
                    # An empty one beside it: a gateway without keys asks for none.
                    operation["security"] = [{"key": []}, {"key_header": []}, {}]
        return document
