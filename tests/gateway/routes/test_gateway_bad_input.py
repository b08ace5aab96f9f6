"""What a gateway must not take, over real HTTP, and what it says then. Raw sockets where no client would send it."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.http.gateway import FrontedFleet

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
LIMIT_BYTES = 4 * 1024 * 1024
GOOD = {"query": "q", "documents": ["d"]}


def raw(fronted: FrontedFleet, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers and body of the answer."""
    address = urlsplit(fronted.gateway.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            headers = {}
            while line := answer.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            return status, headers, answer.read(int(headers.get("content-length", "0")))


def head(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: localhost", *headers, "", ""]).encode("latin-1")


def test_a_body_over_the_limit_is_refused_before_it_is_sent(fronted: FrontedFleet) -> None:
    status, _, body = raw(fronted, head("/v2/rerank", f"content-length: {LIMIT_BYTES + 1}"))
    assert status == 413
    assert "4" in json.loads(body)["message"]


def test_a_body_that_hides_its_length_is_cut_off(fronted: FrontedFleet) -> None:
    def chunks() -> Any:
        for _ in range(6):
            yield b" " * 1024 * 1024

    answer = fronted.http.post("/v2/rerank", content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,2",
        b'{"query": NaN}',
        b"\xff\xfe",
        b'"text"',
        b"[]",
        b"null",
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
    ],
    ids=["empty", "cut", "list-cut", "nan", "bytes", "text", "list", "null", "deep-list", "deep-object"],
)
def test_what_is_no_request_is_400(fronted: FrontedFleet, body: bytes) -> None:
    for path in ("/v2/rerank", "/v1/rerank", "/score", "/v1/fleet/rerank", "/v1/jobs"):
        answer = fronted.http.post(path, content=body)
        assert answer.status_code == 400, path
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()


@pytest.mark.parametrize(
    "changes",
    [
        {"query": 5}, {"query": None}, {"query": " "}, {"documents": "d"}, {"documents": [1]},
        {"documents": {"text": "d"}}, {"documents": [["d"]]}, {"top_n": -1}, {"top_n": "many"}, {"model": 7},
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_types_are_told_by_field(fronted: FrontedFleet, changes: dict[str, Any]) -> None:
    answer = fronted.http.post("/v2/rerank", json=GOOD | changes)
    assert answer.status_code == 400
    assert next(iter(changes)) in answer.json()["message"]


def test_a_field_that_nobody_knows_is_ignored_where_the_original_ignores_it(fronted: FrontedFleet) -> None:
    assert fronted.http.post("/v2/rerank", json=GOOD | {"colour": "red"}).status_code == 200
    assert fronted.http.post("/rerank", json={"query": "q", "texts": ["d"], "colour": "red"}).status_code == 200
    answer = fronted.http.post("/v1/fleet/rerank", json=GOOD | {"colour": "red"})
    assert answer.status_code == 400
    assert "colour" in answer.json()["error"]["message"]


def test_a_hundred_thousand_empty_documents_are_too_many(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/v2/rerank", json={"query": "q", "documents": [""] * 100_000})
    assert answer.status_code == 400
    assert "10000" in answer.json()["message"].replace(",", "")


@pytest.mark.parametrize(
    ("path", "outer", "inner"),
    [("/v1/rerank", "input", "documents"), ("/similarity", "inputs", "sentences")],
)
def test_so_they_are_one_object_deeper(fronted: FrontedFleet, path: str, outer: str, inner: str) -> None:
    answer = fronted.http.post(path, json={outer: {"query": "q", "source_sentence": "q", inner: [None] * 100_000}})
    assert answer.status_code in (400, 422)
    assert "100,000 documents were sent" in answer.text


def test_as_many_queries_are_too_many_before_they_are_grouped(fronted: FrontedFleet) -> None:
    queries = list(map(str, range(100_000)))
    answer = fronted.http.post("/score", json={"queries": queries, "documents": queries})
    assert answer.status_code == 400
    assert "10,000" in answer.json()["error"]["message"]


def test_ten_thousand_empty_documents_are_answered(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/v2/rerank", json={"query": "q", "documents": [""] * 10_000})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 10_000


def test_a_body_that_trickles_is_given_up(fronted: FrontedFleet) -> None:
    status, _, body = raw(fronted, head("/v2/rerank", "content-length: 100") + b'{"query"')
    assert status == 408
    assert json.loads(body)["message"]


def test_a_compressed_body_is_refused(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/v2/rerank", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/score", "/similarity", "/v1/jobs"])
def test_markup_and_control_characters_are_texts_like_any_other(fronted: FrontedFleet, path: str) -> None:
    text = "<script>alert(1)</script>\r\nx-evil: 1\x00\ud800"
    bodies: dict[str, Any] = {
        "/rerank": {"query": text, "texts": [text]},
        "/score": {"text_1": text, "text_2": text},
        "/similarity": {"inputs": {"source_sentence": text, "sentences": [text]}},
    }
    body = bodies.get(path, {"query": text, "documents": [text]})
    answer = fronted.http.post(path, content=json.dumps(body).encode())
    assert answer.status_code in (200, 202)
    assert "x-evil" not in answer.headers


def test_a_model_s_name_can_t_write_headers(fronted: FrontedFleet) -> None:
    answer = fronted.http.post("/v2/rerank", json=GOOD | {"model": "rerank-x\r\nx-evil: 1"})
    assert "x-evil" not in answer.headers
    assert answer.status_code in (200, 404)


@pytest.mark.parametrize(
    "value",
    ["a\x0bb", "ü", "x" * 129, "../../etc/passwd", "a;b", "a,b"],
    ids=["tab", "umlaut", "long", "path", ";", ","],
)
def test_an_odd_request_id_is_replaced(fronted: FrontedFleet, value: str) -> None:
    status, headers, _ = raw(fronted, head("/v2/rerank", f"x-request-id: {value}", "content-length: 0"))
    assert status == 400
    assert headers.get("x-request-id") != value


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/%2fetc/passwd", "/static/",
        "/static/index.html", "/static/style.css/../../app.py", "/static/C:%5Cwindows", "/static/style.css%00.py",
    ],
)  # fmt: skip
def test_the_page_s_files_are_a_closed_list(fronted: FrontedFleet, path: str) -> None:
    status, _, body = raw(fronted, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    assert status in (400, 404)
    assert b"import" not in body
