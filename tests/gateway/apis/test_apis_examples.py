"""What all APIs share: examples that hold, fields that are explained, names that tell them apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from rerank_producer import apis
from rerank_producer.apis.common.call import Api, Problem
from support.http.answers import JSON, answer, parse

APIS: list[Api] = [getattr(apis, name) for name in apis.__all__]
ALL = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
EXAMPLES = [
    (api, example)
    for api in APIS
    for example in (api.request.model_config.get("json_schema_extra") or {}).get("examples", [])  # type: ignore[union-attr]
]


def test_names_differ_and_all_have_examples_but_the_fleet_s() -> None:
    assert len({api.name for api in APIS}) == len(APIS)
    assert {api.name for api, _ in EXAMPLES} == {api.name for api in APIS} - {"fleet"}


@pytest.mark.parametrize(("api", "example"), EXAMPLES, ids=lambda value: getattr(value, "name", ""))
def test_an_example_is_understood_and_answered_as_the_response_says(api: Api, example: dict[str, Any]) -> None:
    parsed = api.parse(example)
    written = parsed.render("req-1", [answer(call, [0.5] * len(call.documents)) for call in parsed.calls])
    api.response.model_validate(written, strict=True)


@ALL
def test_each_field_of_a_request_is_explained(api: Api) -> None:
    if api.name != "fleet":
        properties = api.request.model_json_schema()["properties"]
        bare = {name for name, schema in properties.items() if not schema.get("description")}
        # Objects, whose own descriptions stand with them.
        assert bare <= {"input", "inputs"}


@ALL
def test_each_problem_has_the_shape_that_is_described(api: Api) -> None:
    for status in (400, 401, 404, 408, 413, 429, 499, 500, 502, 503, 504):
        told, body = api.problem(Problem(status, "code", "what to do", True, 1.0), "req-1")
        assert told == status
        api.error.model_validate(body, strict=True, extra="forbid")


@ALL
@given(body=JSON)
def test_any_json_is_understood_or_refused(api: Api, body: Any) -> None:
    parsed = parse(api, body)
    assert parsed is None or parsed.calls
