"""An upstream as a real server behind real TLS, which says whatever a test wants it to say."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """Takes requests, keeps them, and answers with `reply`."""

    authority: trustme.CA
    port: int = 0
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    reply: Reply | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((line, headers, json.loads(body)))
            assert self.reply is not None
            await self.reply(writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            # The client does not trust this server, or has heard enough.
            pass
        finally:
            writer.close()

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def says(self, body: object, *, status: str = "200 OK", headers: str = "") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n{headers}\r\n".encode()

        async def reply(writer: asyncio.StreamWriter) -> None:
            writer.write(head + raw)

        self.reply = reply


@asynccontextmanager
async def serving() -> AsyncIterator[Upstream]:
    """Yield an upstream that listens, with a certificate of its own authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    opened = Upstream(authority)
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0, ssl=context)
    opened.port = server.sockets[0].getsockname()[1]
    async with server:
        yield opened
