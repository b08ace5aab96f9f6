"""Paths of the fleet's own API as they were before it had a version: they answer, and say that they will go."""

from __future__ import annotations

import httpx
import pytest

from support.http.gateway import FrontedFleet

BODY = {"query": "which rooms?", "documents": ["The rooms are upstairs.", "Ships sail."]}
#: Of the release that gave them a version, 29 November 2026.
SINCE = "@1795910400"


def told(answer: httpx.Response) -> tuple[str | None, str | None]:
    return answer.headers.get("deprecation"), answer.headers.get("link")


def successor(path: str) -> tuple[str, str]:
    return SINCE, f'</v1{path}>; rel="successor-version"'


def test_a_former_path_reranks_as_its_successor_does(fronted: FrontedFleet) -> None:
    new = fronted.http.post("/v1/fleet/rerank", json=BODY)
    former = fronted.http.post("/fleet/rerank", json=BODY)
    results = [{**each, "cached": True} for each in new.json()["results"]]
    assert former.status_code == new.status_code == 200
    assert former.json()["results"] == results
    assert told(former) == successor("/fleet/rerank")
    assert told(new) == (None, None)


def test_so_does_the_state(fronted: FrontedFleet) -> None:
    new, former = (fronted.http.get(path) for path in ("/v1/fleet/state", "/fleet/state"))
    assert former.json().keys() == new.json().keys()
    assert told(former) == successor("/fleet/state")
    assert told(new) == (None, None)


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_and_the_live_stream(fronted: FrontedFleet, prefix: str) -> None:
    with fronted.http.stream("GET", f"{prefix}/fleet/live") as stream:
        assert stream.status_code == 200
        assert told(stream) == ((None, None) if prefix else successor("/fleet/live"))
        assert next(line for line in stream.iter_lines() if line.startswith("data:"))


def test_an_error_says_it_too(fronted: FrontedFleet) -> None:
    new = fronted.http.post("/v1/fleet/rerank", content=b"{", headers={"x-request-id": "same"})
    former = fronted.http.post("/fleet/rerank", content=b"{", headers={"x-request-id": "same"})
    assert (former.status_code, former.json()) == (new.status_code, new.json())
    assert former.status_code == 400
    assert told(former) == successor("/fleet/rerank")


def test_the_document_marks_them(fronted: FrontedFleet) -> None:
    paths = fronted.http.get("/openapi.json").json()["paths"]
    marked = {path for path, methods in paths.items() for each in methods.values() if each.get("deprecated")}
    assert marked == {"/fleet/rerank", "/fleet/state", "/fleet/live"}
    assert {path: set(methods) for path, methods in paths.items() if path in marked} == {
        path: set(paths[f"/v1{path}"]) for path in marked
    }
