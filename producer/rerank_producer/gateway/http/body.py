"""A request's body off the wire: bounded in bytes and in time while it is read, then decoded as JSON.

Must never hold more than the limit, whatever the headers claim, and never quote a body.
"""

from __future__ import annotations

import asyncio
import codecs
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pydantic_core import from_json
from starlette.datastructures import Headers

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import ClientGone, Refused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: An empty list is two bytes of JSON and a hundred of memory.
_MAX_NESTED = 1_000_000
#: Without one of these no number can be beyond the range of a double.
_MAYBE_INFINITE = re.compile(rb"[eE]\+?[0-9]{2}|(?<![0-9])[0-9]{300}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
#: Escaped backslashes too, so that none is taken for the begin of the next escape.
_SURROGATES = re.compile(
    rb"""
      (?: \\\\ )+
    | \\ u d [89ab] [0-9a-f]{2} \\ u d [c-f] [0-9a-f]{2}
    | (?P<half> \\ u d [89a-f] [0-9a-f]{2} )
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: More digits than any length has; int() is never given more.
_LENGTH_DIGITS = 18


async def read_body(receive: Receive, headers: Headers, *, limit_bytes: int, timeout_s: float) -> bytes:
    """Return the whole body of a request.

    A Content-Length above the limit is refused before a byte is read, so that a client that waits for `100 Continue`
    sends none. `timeout_s` is for all of the body, however steadily it trickles.

    Raises Refused (413, 415, 408), and ClientGone if the client hangs up in the middle.
    """
    refuse_encoded(headers)
    if declared_bytes(headers) > limit_bytes:
        raise _too_large(limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, limit_bytes)
    except TimeoutError:
        raise _too_slow(timeout_s) from None


async def _read(receive: Receive, limit_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the client hung up while its body was read")
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def decode_json(body: bytes) -> Any:
    """Return the JSON value of a body. A byte order mark is skipped; of equal names in an object the last one counts.

    Half a surrogate pair, which JavaScript and Python write as an escape where a text was cut inside a character, is
    read as U+FFFD.

    Raises Refused (400) for anything else than one JSON text in UTF-8 whose numbers are finite, and whose lists and
    objects are no more and no deeper (some 200) than a parser can bear.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.strip():
        raise _malformed("the body is empty; a JSON object expected")
    if body.count(b"[") + body.count(b"{") > _MAX_NESTED:
        raise _malformed(f"the body holds more than {_MAX_NESTED:,} brackets")
    try:
        value = _parse(body)
    except ValueError as error:
        # The parser's message names the mistake and its place, and quotes nothing.
        raise _malformed(f"the body is no valid JSON in UTF-8: {error}") from None
    if _MAYBE_INFINITE.search(body) and _has_infinite(value):
        raise _malformed("the body holds a number beyond the range of a double; JSON numbers up to 1e308 expected")
    return value


def _parse(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        if not _HALF.search(body):
            raise
        return from_json(_SURROGATES.sub(_whole, body), allow_inf_nan=False)


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]


def _has_infinite(value: Any) -> bool:
    """Whether a number such as 1e400 became infinite, which could not be written into an answer again."""
    nested: list[list[Any] | dict[str, Any]] = [[value]]
    while nested:
        within = nested.pop()
        values = within.values() if isinstance(within, dict) else within
        if math.inf in values or -math.inf in values:
            return True
        nested.extend(inner for inner in values if isinstance(inner, list | dict))
    return False


def refuse_encoded(headers: Headers) -> None:
    """Raise Refused (415) for a compressed body."""
    codings = ",".join(headers.getlist("content-encoding")).split(",")
    if any(coding.strip().lower() not in ("", "identity") for coding in codings):
        message = "Content-Encoding: compressed bodies are not taken; send the JSON as it is, without this header"
        raise Refused(Problem(415, "unsupported_encoding", message, headers={"Accept-Encoding": "identity"}))


def declared_bytes(headers: Headers) -> int:
    """Return the largest length that the headers claim; 0 if none, as counting while reading finds out anyway."""
    lengths = [value.strip().lstrip("0") for value in headers.getlist("content-length")]
    digits = [length for length in lengths if length.isascii() and length.isdigit()]
    return max((int(length[:_LENGTH_DIGITS]) for length in digits), default=0)


def _too_large(limit_bytes: int) -> Refused:
    message = (
        f"the body is larger than {limit_bytes:,} bytes, the most that is taken here; send fewer documents a request"
    )
    return Refused(Problem(413, "body_too_large", message))


def _too_slow(timeout_s: float) -> Refused:
    message = f"the body was not there within {timeout_s:g} s; send it faster, or in requests of fewer documents"
    # Without it the server would go on to read at the client's pace.
    return Refused(Problem(408, "body_too_slow", message, retryable=True, headers={"Connection": "close"}))


def _malformed(message: str) -> Refused:
    return Refused(Problem(400, "malformed_json", message))
