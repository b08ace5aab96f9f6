"""One kept-alive HTTP/1.1 connection that sends bytes made beforehand and parses no more of an answer than it must.

A general client spends as much on a request as the gateway does; a load that is to saturate it from one core can't.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `head` is its status line and headers, names in lower case."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        _, found, rest = self.head.partition(f"\r\n{name.lower()}:".encode())
        return rest.partition(b"\r\n")[0].strip().decode() if found else None


class Connection:
    """A connection that is open until the block ends; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the server of a URL."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def ask(self, request: bytes) -> Reply:
        """Send a request and return its answer, which must have a Content-Length; both of our servers send one."""
        self._writer.write(request)
        head = await self._reader.readuntil(_END_OF_HEAD)
        status_line, _, rest = head.partition(b"\r\n")
        lowered = b"\r\n" + rest.lower()
        length = int(lowered.partition(_LENGTH)[2].partition(b"\r\n")[0])
        return Reply(int(status_line.split(b" ", 2)[1]), lowered, await self._reader.readexactly(length))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def post(url: str, path: str, content: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a POST of JSON as the bytes that go over the wire."""
    body = json.dumps(content).encode()
    given = {"Host": urlsplit(url).netloc, "Content-Type": "application/json", **(headers or {})}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "\r\n"]).encode() + body
