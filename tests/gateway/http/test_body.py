"""A body off the wire: what is refused, when, and in which words; the last part through a real HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import ClientGone, Refused
from rerank_producer.gateway.http.body import decode_json, read_body
from rerank_shared.contract.schemas import encodable
from support.http.answers import JSON
from support.waiting import wait_until

LIMIT = 100
Message = MutableMapping[str, Any]
HeaderLines = Iterable[tuple[bytes, bytes]]


@dataclass(slots=True)
class Channel:
    """An ASGI receive channel that hands out what it was given, and then stays silent."""

    messages: list[Message]
    reads: int = 0

    async def __call__(self) -> Message:
        if self.reads == len(self.messages):
            await asyncio.Event().wait()
        self.reads += 1
        return self.messages[self.reads - 1]


def chunks(*parts: bytes, more: bool = False) -> Channel:
    last = len(parts) - 1
    return Channel(
        [
            {"type": "http.request", "body": part, "more_body": more or number < last}
            for number, part in enumerate(parts)
        ]
    )


async def read(channel: Channel, headers: HeaderLines = (), timeout_s: float = 30.0) -> bytes:
    return await read_body(channel, Headers(raw=list(headers)), limit_bytes=LIMIT, timeout_s=timeout_s)


async def refusal(channel: Channel, headers: HeaderLines = (), timeout_s: float = 30.0) -> Problem:
    with pytest.raises(Refused) as caught:
        await read(channel, headers, timeout_s)
    return caught.value.problem


def malformed(body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        decode_json(body)
    assert (caught.value.problem.status, caught.value.problem.code) == (400, "malformed_json")
    return caught.value.problem.message


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
async def test_a_body_is_its_chunks(parts: list[bytes]) -> None:
    assert await read(chunks(*parts)) == b"".join(parts)


async def test_a_body_of_just_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    assert len(await read(chunks(b"x" * LIMIT), [(b"content-length", b"100")])) == LIMIT
    problem = await refusal(chunks(b"x" * LIMIT, b"x"))
    assert (problem.status, problem.code, problem.retryable) == (413, "body_too_large", False)
    assert "100 bytes" in problem.message


@pytest.mark.parametrize("length", [b"101", b"000101", b"9" * 5_000, b" 101 "])
async def test_a_length_above_the_limit_is_refused_before_a_byte_is_read(length: bytes) -> None:
    channel = chunks(b"x")
    assert (await refusal(channel, [(b"content-length", b"1"), (b"content-length", length)])).status == 413
    assert channel.reads == 0


@pytest.mark.parametrize("length", [b"1", b"-5", b"", b"0x1", "١".encode(), b"+1"])
async def test_a_length_that_lies_or_means_nothing_changes_nothing(length: bytes) -> None:
    channel = chunks(*[b"x" * 30] * 9)
    assert (await refusal(channel, [(b"content-length", length)])).status == 413
    assert channel.reads == 4, "not a chunk more is read than shows that it is too much"


async def test_a_body_that_never_ends_is_refused_in_time_and_its_connection_closed() -> None:
    problem = await refusal(chunks(b"{", more=True), timeout_s=0.01)
    assert (problem.status, problem.code, problem.retryable) == (408, "body_too_slow", True)
    assert problem.headers == {"Connection": "close"}
    assert "0.01 s" in problem.message


async def test_one_time_limit_holds_for_all_chunks() -> None:
    async def trickle() -> Message:
        await asyncio.sleep(0.002)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(Refused):
        await read_body(trickle, Headers(), limit_bytes=LIMIT, timeout_s=0.02)


async def test_a_client_that_hangs_up_is_gone() -> None:
    channel = chunks(b"{", more=True)
    channel.messages.append({"type": "http.disconnect"})
    with pytest.raises(ClientGone):
        await read(channel)


@pytest.mark.parametrize("codings", [[b"gzip"], [b"identity, br"], [b"identity", b"zstd"], [b"GZIP"]])
async def test_compressed_bodies_are_refused_unread(codings: list[bytes]) -> None:
    channel = chunks(b"\x1f\x8b")
    problem = await refusal(channel, [(b"content-encoding", coding) for coding in codings])
    assert (problem.status, problem.headers, channel.reads) == (415, {"Accept-Encoding": "identity"}, 0)
    assert "Content-Encoding" in problem.message


@pytest.mark.parametrize("coding", [b"identity", b"", b"Identity"])
async def test_what_is_not_compressed_may_say_so(coding: bytes) -> None:
    assert await read(chunks(b"{}"), [(b"content-encoding", coding)]) == b"{}"


@given(JSON, st.booleans(), st.booleans())
def test_json_is_what_the_standard_library_takes_it_for(value: Any, escaped: bool, marked: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    assert decode_json(text.encode("utf-8-sig" if marked else "utf-8")) == value


@given(st.binary(max_size=60))
def test_whatever_bytes_come_only_one_error_leaves(body: bytes) -> None:
    with contextlib.suppress(Refused):
        decode_json(body)


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b"[" * 500_000 + b"]" * 500_000])
def test_a_million_brackets_end_in_an_error_and_not_in_a_crash(body: bytes) -> None:
    assert "recursion" in malformed(body)


def test_as_many_brackets_as_take_hundreds_of_times_their_bytes_are_refused() -> None:
    assert "brackets" in malformed(b"[" + b"[]," * 1_100_000 + b"[]]")


NOT_FINITE = [b"NaN", b'{"a": Infinity}', b"[-Infinity]", b"1e400", b'{"a": [{"b": -1e400}]}', b"9" * 400 + b".0"]
NOT_UTF8 = [b'"\xff"', b'"\xed\xa0\x80"', "{}".encode("utf-16")]
NOT_JSON = [b"9" * 10_000, b"{} {}", b"{'a': 1}", b"\x00"]


@pytest.mark.parametrize("body", [*NOT_FINITE, *NOT_UTF8, *NOT_JSON])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    malformed(body)


@given(st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\\"), max_size=12))
def test_half_a_surrogate_pair_is_read_as_what_stands_for_no_character(text: str) -> None:
    assert decode_json(json.dumps({text: [text]}).encode()) == {encodable(text): [encodable(text)]}


def test_a_body_that_has_another_fault_beside_half_a_pair_is_refused() -> None:
    malformed(b'"\\ud800')


@pytest.mark.parametrize("body", [b"", b" \n", b"\xef\xbb\xbf"])
def test_an_empty_body_is_called_that(body: bytes) -> None:
    assert "empty" in malformed(body)


def test_of_equal_names_the_last_counts() -> None:
    assert decode_json(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    "body", [b'{"query": hunter2}', b'["hunter2', b"hunter2", b'{hunter2: "hunter2"}', b'"\\hunter2"']
)
def test_a_body_is_never_quoted(body: bytes) -> None:
    assert "hunter2" not in malformed(body)


@dataclass(slots=True)
class Reader:
    """An ASGI application that reads bodies as the gateway does, and keeps what became of each."""

    seen: list[bytes | Problem | ClientGone] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers: list[tuple[bytes, bytes]] = []
        try:
            body = await read_body(receive, Headers(scope=scope), limit_bytes=1_000_000, timeout_s=0.2)
        except ClientGone as gone:
            self.seen.append(gone)
            return
        except Refused as refused:
            problem = refused.problem
            self.seen.append(problem)
            status = problem.status
            headers += [(name.encode(), value.encode()) for name, value in problem.headers.items()]
        else:
            self.seen.append(body)
            status = 200
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(params=["httptools", "h11"])
def reader(request: pytest.FixtureRequest) -> Iterator[tuple[Reader, int]]:
    """A real server with that application: the application and its port."""
    application, listening = Reader(), socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=request.param, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield application, listening.getsockname()[1]
    server.should_exit = True
    thread.join()


def test_a_real_server_s_bodies_arrive_whole_or_are_refused(reader: tuple[Reader, int]) -> None:
    application, port = reader

    def parts(count: int) -> Iterator[bytes]:
        yield from [b"x" * 100_000] * count

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
        assert client.post("/", content=b"x" * 1_000_000).status_code == 200
        assert client.post("/", content=parts(10)).status_code == 200
        # Both clients get to read why, although they have not sent all of it when it is known.
        assert client.post("/", content=b"x" * 3_000_000).status_code == 413
        assert client.post("/", content=parts(30)).status_code == 413
        assert client.post("/", content=b"fine").status_code == 200
    assert [len(body) for body in application.seen if isinstance(body, bytes)] == [1_000_000, 1_000_000, 4]


def test_a_client_that_asks_first_is_told_before_it_sends(reader: tuple[Reader, int]) -> None:
    with socket.create_connection(("127.0.0.1", reader[1]), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3000000\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_a_client_that_trickles_is_hung_up_on(reader: tuple[Reader, int]) -> None:
    with socket.create_connection(("127.0.0.1", reader[1]), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        answer = b""
        while piece := client.recv(1_000):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()


def test_a_client_that_leaves_in_the_middle_is_gone(reader: tuple[Reader, int]) -> None:
    application, port = reader
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    wait_until(lambda: application.seen, "the end of the request")
    assert isinstance(application.seen[0], ClientGone)
