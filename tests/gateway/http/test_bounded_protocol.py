"""What a client may make a connection hold before there is a request: bounded in bytes, lines and time. Raw sockets."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from conftest import StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.gateway.http.bounded_protocol import MAX_HEAD_BYTES, MAX_HEADER_LINES
from rerank_shared.settings import load_settings
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
FIRST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /v2/rerank HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
FLOOD_BYTES = 300_000_000
#: Far above what any of these leaves behind, and far below what they send.
GROWTH_MB = 15.0


@pytest.fixture(scope="module")
def gateway(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestGateway]:
    """A gateway with the limits that it has by default; no fleet is needed."""
    settings = load_settings(redis_url=server.url, namespace=f"heads-{uuid.uuid4().hex[:12]}")
    with TestGateway(settings, tmp_path_factory.mktemp("heads") / "gateway.log") as running:
        yield running


@contextmanager
def connected(gateway: TestGateway) -> Iterator[socket.socket]:
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        yield connection


def read(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            found += piece
    return found


def answered(connection: socket.socket) -> bytes:
    """One answer of JSON, whose connection stays open."""
    found = b""
    while not found.endswith(b"}"):
        piece = connection.recv(65_536)
        assert piece, found
        found += piece
    return found


def flood(gateway: TestGateway, begin: bytes, piece: bytes, most: int = FLOOD_BYTES) -> tuple[bytes, int]:
    """Send `begin`, then pieces until somebody stops it; return the answer and how much was sent."""
    sent = 0
    with connected(gateway) as connection:
        connection.sendall(begin)
        with suppress(ConnectionError):
            while sent < most:
                connection.sendall(piece)
                sent += len(piece)
        return read(connection), sent


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (FIRST + b"X-Long: ", b"a" * 65_536),
        (FIRST + b"X-", b"a" * 65_536),
        (FIRST, b"a: b\r\n" * 10_000),
        (b"GET /", b"a" * 65_536),
        (b"G", b"E" * 65_536),
        (CHUNKED + b"0\r\nX-Trailer: ", b"a" * 65_536),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000),
        (CHUNKED + b"1;", b"a" * 65_536),
    ],
    ids=["value", "name", "lines", "path", "method", "trailer", "trailers", "extension"],
)
def test_a_flood_leaves_nothing_behind(gateway: TestGateway, begin: bytes, piece: bytes) -> None:
    before_mb = gateway.rss_mb()
    answer, sent = flood(gateway, begin, piece)
    assert sent < FLOOD_BYTES
    assert answer[:12] in (b"", b"HTTP/1.1 431", b"HTTP/1.1 400")
    assert gateway.rss_mb() - before_mb < GROWTH_MB
    with gateway.client() as http:
        assert http.get("/healthz").status_code == 200
    assert "Traceback" not in gateway.log()


def test_what_is_too_large_is_told(gateway: TestGateway) -> None:
    within = [
        FIRST + b"X-Long: " + b"a" * (MAX_HEAD_BYTES - 1_000) + b"\r\n\r\n",
        FIRST + b"a: b\r\n" * (MAX_HEADER_LINES - 2) + b"connection: close\r\n\r\n",
        b"GET /healthz?" + b"a" * (MAX_HEAD_BYTES - 1_000) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    beyond = [
        FIRST + b"X-Long: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        FIRST + b"X-Long: " + b"a" * MAX_HEAD_BYTES,
        FIRST + b"a: b\r\n" * MAX_HEADER_LINES + b"\r\n",
        b"GET /healthz?" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    for request in within:
        with connected(gateway) as connection:
            connection.sendall(request)
            assert answered(connection).startswith(b"HTTP/1.1 200")
    for request in beyond:
        with connected(gateway) as connection:
            connection.sendall(request)
            answer = read(connection)
        assert answer.startswith(b"HTTP/1.1 431"), request[:30]
        assert b"64 KiB" in answer


def test_requests_one_after_the_other_are_counted_each_for_itself(gateway: TestGateway) -> None:
    request = FIRST + b"X-Long: " + b"a" * 8_000 + b"\r\n\r\n"
    with connected(gateway) as connection:
        for _ in range(20):
            connection.sendall(request)
            assert answered(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(request * 40 + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read(connection).count(b"HTTP/1.1 200") == 41


def test_a_body_in_many_small_chunks_is_no_head(gateway: TestGateway) -> None:
    with connected(gateway) as connection:
        head = b"POST /v2/rerank HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        connection.sendall(head + b"1\r\n \r\n" * 50_000 + b"2\r\n[]\r\n0\r\n\r\n")
        assert read(connection).startswith(b"HTTP/1.1 400")


def test_a_head_that_trickles_is_hung_up_on(start_gateway: StartGateway) -> None:
    gateway = start_gateway(head_timeout_s=0.5)
    with connected(gateway) as fresh, connected(gateway) as kept:
        kept.sendall(FIRST + b"\r\n")
        assert answered(kept).startswith(b"HTTP/1.1 200")
        for connection in (fresh, kept):
            connection.sendall(FIRST)
        answers = [read(connection) for connection in (fresh, kept)]
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer


def test_an_idle_connection_is_no_late_head(start_gateway: StartGateway) -> None:
    gateway = start_gateway(head_timeout_s=0.2)
    with connected(gateway) as silent, connected(gateway) as kept:
        kept.sendall(FIRST + b"\r\n")
        assert answered(kept).startswith(b"HTTP/1.1 200")
        # The subject of the test is that nothing happens in a time longer than the limit.
        time.sleep(0.5)
        for connection in (silent, kept):
            connection.sendall(FIRST + b"\r\n")
            assert answered(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_reads_any_more_can_not_hold_a_connection(start_gateway: StartGateway) -> None:
    gateway = start_gateway(head_timeout_s=0.3)
    with connected(gateway) as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert read(connection).startswith(b"HTTP/1.1 405")


def test_the_body_of_a_request_that_was_sent_before_the_answer_to_another_is_not_cut(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(head_timeout_s=0.3)
    head = b"POST /v2/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
    with connected(gateway) as connection:
        connection.sendall(head + b"[]" + head + b"[")
        assert answered(connection).startswith(b"HTTP/1.1 400")
        # The subject of the test is that nothing happens in a time longer than the limit.
        time.sleep(0.9)
        connection.sendall(b"]")
        assert answered(connection).startswith(b"HTTP/1.1 400")


def test_a_body_that_nobody_reads_of_a_request_sent_early_can_not_hold_a_connection_either(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(head_timeout_s=0.3)
    with connected(gateway) as connection:
        early = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        connection.sendall(FIRST + b"\r\n" + early)
        answer = read(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 405" in answer


def test_an_answer_that_is_under_way_is_not_cut_by_what_was_sent_too_early(start_gateway: StartGateway) -> None:
    gateway = start_gateway(head_timeout_s=0.2)
    with gateway.client() as http:
        location = http.post("/v1/jobs", json={"query": "q", "documents": ["d"]}).headers["location"]
    with connected(gateway) as connection:
        connection.sendall(f"GET {location}?wait_ms=700 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea".encode())
        assert answered(connection).startswith(b"HTTP/1.1 200")
        assert read(connection).startswith(b"HTTP/1.1 408")
