"""The upstream, as a real server behind real TLS that says whatever a test wants it to say."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rerank_producer.apis.common.call import RerankCall
from rerank_producer.gateway.overflow import Overflow, OverflowFailed
from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.errors import ConfigurationError
from support.http.upstream import Upstream

KEY = SecretStr("upstream-key")
CALL = RerankCall("what is a fleet", ["ships", {"text": "words", "id": "w", "metadata": {"page": 3}}, "cars"])


@pytest.fixture
async def overflow(upstream: Upstream) -> AsyncIterator[Overflow]:
    opened = Overflow(upstream.url, "rerank-v3.5", KEY, tls=upstream.trusting())
    yield opened
    await opened.aclose()


def items(*pairs: tuple[object, object]) -> dict[str, object]:
    return {"results": [{"index": index, "relevance_score": score} for index, score in pairs]}


async def failure(overflow: Overflow, call: RerankCall = CALL, timeout_s: float = 20.0) -> str:
    with pytest.raises(OverflowFailed) as caught:
        await overflow.rerank(call, timeout_s)
    return str(caught.value)


async def test_a_call_goes_out_as_cohere_s_and_comes_back_as_the_fleet_s(
    upstream: Upstream, overflow: Overflow
) -> None:
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    upstream.says(items((1, 0.9), (2, 0.25), (0, 0.5)) | {"id": "theirs", "meta": meta})
    answer = await overflow.rerank(CALL, 20)
    (line, headers, body), *_ = upstream.requests
    assert line == "POST /v2/rerank HTTP/1.1"
    assert headers["authorization"] == "Bearer upstream-key"
    assert headers["content-type"] == "application/json"
    assert body == {"model": "rerank-v3.5", "query": "what is a fleet", "documents": ["ships", "words", "cars"]}
    assert [(each.index, each.relevance_score) for each in answer.results] == [(1, 0.9), (0, 0.5), (2, 0.25)]
    assert (answer.results[0].id, answer.results[0].metadata) == ("w", {"page": 3})
    assert all(each.scored and each.logit is None and each.tokens is None for each in answer.results)
    assert (answer.complete, answer.model.name, answer.usage.tokens, answer.workers) == (True, "rerank-v3.5", 0, [])
    assert answer.timings.total_ms > 0


@pytest.mark.parametrize(("top_n", "sent"), [(1, 1), (3, 3), (99, 3)])
async def test_as_many_come_back_as_were_asked_for(
    upstream: Upstream, overflow: Overflow, top_n: int, sent: int
) -> None:
    upstream.says(items(*[(index, 1 - index / 10) for index in range(sent)]))
    answer = await overflow.rerank(RerankCall(CALL.query, CALL.documents, top_n=top_n), 20)
    assert len(answer.results) == sent
    assert upstream.requests[0][2]["top_n"] == sent


async def test_the_caller_chooses_neither_model_nor_length(upstream: Upstream, overflow: Overflow) -> None:
    upstream.says(items((0, 1)))
    await overflow.rerank(RerankCall("q", ["d"], model="rerank-huge", max_length=9), 20)
    assert upstream.requests[0][2] == {"model": "rerank-v3.5", "query": "q", "documents": ["d"]}


async def test_text_that_is_no_unicode_arrives_as_the_fleet_would_read_it(
    upstream: Upstream, overflow: Overflow
) -> None:
    upstream.says(items((0, 1)))
    await overflow.rerank(RerankCall("a\ud800", ["b\udfff"]), 20)
    assert upstream.requests[0][2]["query"] == "a\ufffd"
    assert upstream.requests[0][2]["documents"] == ["b\ufffd"]


@pytest.mark.parametrize("document", [{"token_ids": [1, 2]}, {"text": 5}, {}, {"text": "a", "id": 7}])
async def test_only_texts_leave(upstream: Upstream, overflow: Overflow, document: dict[str, Any]) -> None:
    await failure(overflow, RerankCall("q", ["d", document]))
    assert upstream.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        items((0, 0.5), (1, 0.5)),
        items((0, 0.5), (1, 0.5), (2, 0.5), (3, 0.5)),
        items((0, 0.5), (1, 0.5), (1, 0.5)),
        items((0, 0.5), (1, 0.5), (3, 0.5)),
        items((0, 0.5), (1, 0.5), (-1, 0.5)),
        items((0, 0.5), (1, 0.5), ("2", 0.5)),
        items((0, 0.5), (1, 0.5), (2.0, 0.5)),
        items((0, 0.5), (1, 0.5), (True, 0.5)),
        items((0, 0.5), (1, 0.5), (2, "0.5")),
        items((0, 0.5), (1, 0.5), (2, None)),
        items((0, 0.5), (1, 0.5), (2, float("nan"))),
        items((0, 0.5), (1, 0.5), (2, float("inf"))),
        b'{"results": [{"index": 0, "relevance_score": 1e999}]}',
        {"results": []},
        {"results": None},
        {"data": []},
        [],
        b"",
        b"<html>theirs</html>",
        b'{"results": [' + b"[" * 100_000,
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_none_is_not_passed_on(upstream: Upstream, overflow: Overflow, answer: object) -> None:
    upstream.says(answer)
    assert (await failure(overflow)).startswith("an answer ")


@pytest.mark.parametrize("status", ["400 Bad Request", "401 No", "429 Later", "500 Oops", "204 Nothing", "201 Made"])
async def test_any_other_status_is_a_failure(upstream: Upstream, overflow: Overflow, status: str) -> None:
    upstream.says({"message": "upstream-key is wrong"}, status=status)
    assert await failure(overflow) == f"status {status[:3]}"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(upstream: Upstream, overflow: Overflow, status: str) -> None:
    upstream.says(b"", status=status, headers=f"Location: {upstream.url}/elsewhere\r\n")
    assert await failure(overflow) == f"status {status[:3]}"
    assert len(upstream.requests) == 1


async def test_an_endless_answer_is_cut_off(upstream: Upstream, overflow: Overflow) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" " * 65_536)
            await writer.drain()

    upstream.reply = endless
    assert "more than 4,194,304 bytes" in await failure(overflow)


async def test_a_small_answer_that_would_unpack_to_a_large_one_is_not_unpacked(
    upstream: Upstream, overflow: Overflow
) -> None:
    upstream.says(gzip.compress(b" " * 10_000_000), headers="Content-Encoding: gzip\r\n")
    assert "compressed" in await failure(overflow)
    assert upstream.requests[0][1]["accept-encoding"] == "identity"


async def test_a_slow_answer_ends_with_the_deadline_however_it_trickles(upstream: Upstream, overflow: Overflow) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)

    upstream.reply = trickle
    assert await failure(overflow, timeout_s=0.3) == "no answer within 0.300 s"


@pytest.mark.parametrize("timeout_s", [0.0, -5.0])
async def test_nothing_is_sent_after_the_deadline(upstream: Upstream, overflow: Overflow, timeout_s: float) -> None:
    assert "no time" in await failure(overflow, timeout_s=timeout_s)
    assert upstream.requests == []


async def test_an_upstream_that_hangs_up_or_speaks_no_http_has_not_answered(
    upstream: Upstream, overflow: Overflow
) -> None:
    async def nothing(writer: asyncio.StreamWriter) -> None:
        pass

    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntheirs secret\r\n\r\n")

    for reply in (nothing, nonsense):
        upstream.reply = reply
        assert await failure(overflow) == "RemoteProtocolError"


async def test_an_upstream_is_not_trusted_without_its_certificate(upstream: Upstream) -> None:
    stranger = Overflow(upstream.url, "m", KEY)
    wrong_name = Overflow(f"https://127.0.0.1:{upstream.port}", "m", KEY, tls=upstream.trusting())
    for overflow in (stranger, wrong_name):
        assert "CERTIFICATE_VERIFY_FAILED" in await failure(overflow)
        await overflow.aclose()
    assert upstream.requests == []


async def test_a_private_authority_is_named_in_the_environment(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    # Nor does a proxy of the environment come in between.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    overflow = Overflow(upstream.url, "m")
    upstream.says(items((0, 1)))
    assert (await overflow.rerank(RerankCall("q", ["d"]), 20)).model.name == "m"
    assert "authorization" not in upstream.requests[0][1]
    await overflow.aclose()


async def test_nothing_of_the_upstream_s_is_kept_for_the_next_request(upstream: Upstream, overflow: Overflow) -> None:
    upstream.says(items((0, 1)), headers="Set-Cookie: session=theirs; Path=/\r\n")
    for _ in range(2):
        await overflow.rerank(RerankCall("q", ["d"]), 20)
    assert "cookie" not in upstream.requests[1][1]


async def test_the_key_and_the_texts_are_in_no_log_and_no_error(
    upstream: Upstream, overflow: Overflow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.says(items((0, 1)))
    await overflow.rerank(RerankCall("private query", ["private text"]), 20)
    upstream.says(b"upstream-key private", status="401 No")
    told = await failure(overflow, RerankCall("private query", ["private text"]))
    seen = caplog.text + told + repr(overflow) + repr(vars(overflow))
    assert "v2/rerank" in seen
    assert "upstream-key" not in seen
    assert "private" not in seen


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com", "api.example.com", "//api.example.com", "https://", "https:///v", "ftp://example.com",
        "https://user@example.com", "https://user:hunter2@example.com", "https://@example.com", "https://example.com?",
        "https://example.com?key=hunter2", "https://example.com#", "https://example.com/#hunter2", "",
        "https://example.com:port", "https://example.com:99999", "https://exa mple.com", "https://example.com\n",
        "https://[::1", "https://example.com/v2", "https://example.com/v1/", "https://example.com/v2/rerank", "file:///x",
    ],
)  # fmt: skip
def test_a_base_url_that_could_lead_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="RERANK_GATEWAY_OVERFLOW_URL") as caught:
        Overflow(url, "m", KEY)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("key", ["", "two words", "line\n", "\u00e9"])
def test_a_key_that_is_no_header_is_refused_unquoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match="RERANK_GATEWAY_OVERFLOW_KEY") as caught:
        Overflow("https://example.com", "m", SecretStr(key))
    assert not key or key not in caught.value.message


async def test_a_base_url_may_have_a_port_and_a_path(upstream: Upstream) -> None:
    overflow = Overflow(f"{upstream.url}/team/a/", "m", tls=upstream.trusting())
    upstream.says(items((0, 1)))
    await overflow.rerank(RerankCall("q", ["d"]), 20)
    assert upstream.requests[0][0] == "POST /team/a/v2/rerank HTTP/1.1"
    assert overflow.host == f"localhost:{upstream.port}"
    await overflow.aclose()


async def test_settings_name_the_upstream_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Overflow.of(load_gateway_settings()) is None
    with pytest.raises(ConfigurationError, match="OVERFLOW_MODEL: needed"):
        Overflow.of(load_gateway_settings(overflow_url="https://example.com"))
    with pytest.raises(ConfigurationError, match="OVERFLOW_URL: needed"):
        Overflow.of(load_gateway_settings(overflow_key="abc"))
    overflow = Overflow.of(load_gateway_settings(overflow_url="https://example.com", overflow_model="m"))
    assert overflow is not None
    assert overflow.host == "example.com"
    await overflow.aclose()
