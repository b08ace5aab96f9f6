from __future__ import annotations

import asyncio
import inspect
import json

import httpx
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from rerank_producer.gateway.app import OPERATIONS
from rerank_producer.gateway.routes.openapi import PATH, document, openapi_route
from rerank_producer.gateway.routes.operation import Operation, Success, deprecated

INFO = {"title": "t", "version": "1", "description": "d"}


class Caller:
    """Calls an application of some routes, without a socket."""

    def __init__(self, routes: list[BaseRoute]) -> None:
        self._transport = httpx.ASGITransport(app=Starlette(routes=routes))

    def call(self, method: str, path: str) -> httpx.Response:
        """Return the answer to a request."""

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://gateway") as client:
                return await client.request(method, path)

        return asyncio.run(send())


class Ship(BaseModel):
    """A ship."""

    tons: float = 1.0
    name: str | None = Field(None, serialization_alias="label")


class Boat(BaseModel):
    """A boat."""


class Leak(BaseModel):
    """An error."""


async def launch(request: Request) -> Response:
    return JSONResponse({"label": request.path_params["name"]}, headers={"x-launched": "yes"})


LAUNCH = Operation(
    "/v1/ships/{name:path}",
    launch,
    operation_id="launch",
    summary="Launch one",
    methods=("POST", "PUT"),
    parameters=({"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},),
    requests=(Ship, Boat),
    success=Success((Ship,), status=201),
    errors=(Leak,),
    refusals=(400, 503),
)
SINK = Operation(
    "/v1/sink", launch, operation_id="sink", summary="Sink all", success=Success(status=204, media_type=None)
)
ROUTES = [each.route() for each in OPERATIONS]


def test_an_operation_is_described_by_what_it_is_declared_with() -> None:
    paths = document([LAUNCH], INFO)["paths"]
    assert set(paths) == {"/v1/ships/{name}"}
    post, put = (paths["/v1/ships/{name}"][method] for method in ("post", "put"))
    assert (post["operationId"], put["operationId"]) == ("launch", "launch_put")
    assert post["parameters"] == list(LAUNCH.parameters)
    body = post["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"anyOf": [{"$ref": "#/components/schemas/Ship"}, {"$ref": "#/components/schemas/Boat"}]}
    assert set(post["responses"]) == {"201", "400", "503"}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Leak"}}}
    assert post["responses"]["503"]["content"] == error


def test_a_public_operation_needs_no_key() -> None:
    public = Operation("/p", launch, operation_id="p", summary="", success=Success(), public=True)
    paths = document([public, SINK], INFO)["paths"]
    assert "security" not in paths["/p"]["get"]
    assert paths["/v1/sink"]["get"]["security"] == [{"key": []}, {"key_header": []}, {}]


def test_an_answer_without_a_body_has_no_content() -> None:
    answered = document([SINK], INFO)["paths"]["/v1/sink"]["get"]["responses"]
    assert answered == {"204": {"description": "Answered."}}


def test_answers_are_described_as_they_are_written_and_bodies_as_they_are_read() -> None:
    written = document([LAUNCH], INFO)["components"]["schemas"]["Ship"]
    assert "label" in written["properties"]
    sent = Operation("/s", launch, operation_id="s", summary="", requests=(Ship,), success=Success((Boat,)))
    assert "name" in document([sent], INFO)["components"]["schemas"]["Ship"]["properties"]


def test_only_the_declared_methods_are_served() -> None:
    caller = Caller([LAUNCH.route(), SINK.route()])
    assert caller.call("PUT", "/v1/ships/a/b").json() == {"label": "a/b"}
    assert caller.call("GET", "/v1/ships/a").status_code == 405
    assert caller.call("HEAD", "/v1/sink").status_code == 405


def test_a_former_path_answers_the_same_and_names_its_successor() -> None:
    old = deprecated(LAUNCH, "/ships/{name:path}")
    caller = Caller([LAUNCH.route(), old.route()])
    new, former = caller.call("POST", "/v1/ships/a b"), caller.call("POST", "/ships/a b")
    assert (former.status_code, former.content) == (new.status_code, new.content)
    added = set(former.headers.items()) - set(new.headers.items())
    assert {name for name, _ in added} == {"deprecation", "link"}
    assert former.headers["link"] == '</v1/ships/a%20b>; rel="successor-version"'
    described = document([LAUNCH, old], INFO)["paths"]
    assert described["/ships/{name}"]["post"]["deprecated"] is True
    assert "deprecated" not in described["/v1/ships/{name}"]["post"]


def test_every_path_of_the_document_is_served_by_the_operation_that_describes_it() -> None:
    for operation in OPERATIONS:
        path = operation.template.replace("{", "").replace("}", "")
        for method in operation.methods:
            scope = {"type": "http", "path": path, "method": method}
            served = next(route for route in ROUTES if route.matches(scope)[0] is Match.FULL)
            # Spans are made around it.
            assert inspect.unwrap(served.endpoint) is operation.handler, f"{method} {path}"


def test_no_two_operations_have_one_name() -> None:
    paths = document(OPERATIONS, INFO)["paths"].values()
    names = [each["operationId"] for methods in paths for each in methods.values()]
    assert len(names) == len(set(names)) > 30


def test_the_document_is_whole() -> None:
    """Each schema that it refers to is there."""
    text = json.dumps(document(OPERATIONS, INFO))
    schemas = json.loads(text)["components"]["schemas"]
    referred = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert referred <= set(schemas)


def test_the_document_is_served_as_json() -> None:
    caller = Caller([openapi_route([SINK], INFO)])
    answer = caller.call("GET", PATH)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document([SINK], INFO)
