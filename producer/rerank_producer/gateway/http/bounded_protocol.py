"""The HTTP protocol with bounds on a connection's memory and time before there is a request.

httptools sets no limit of its own. These bounds count all that it keeps until a line or a head is whole: the request
line, header lines, trailers behind a body, extensions of a chunk. `read_body` bounds the body.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Request line and header lines together, so that no line is longer. One read, 256 KiB at most, may come on top.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADER_LINES = 128
#: How much, and how long, a refused client may go on sending: closed at once, the connection could lose the answer.
_LINGER_BYTES = 1024 * 1024
_LINGER_S = 1.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds. A head beyond them is 431, one that is not there in time 408.

    Used of HttpToolsProtocol, beside asyncio's own methods: the parser's callbacks, `url`, `headers`,
    `cycle.response_complete`, `timeout_keep_alive` with its task and handler, `on_response_complete` and
    `send_400_response`.
    """

    def __init__(self, *args: Any, head_timeout_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timeout_s = head_timeout_s
        self._reading_head = True
        #: Bytes of reads in which no head, piece of a body or chunk ended.
        self._unfinished_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refused: tuple[HTTPStatus, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a connection that says nothing end as an idle one does."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and check the size of what it keeps."""
        self._unfinished_bytes += len(data)
        if self._refused is not None:
            if self._unfinished_bytes > _LINGER_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        if self._refused is None and not self.transport.is_closing():
            self._check_unfinished()

    def _check_unfinished(self) -> None:
        lines = len(self.headers) if self._reading_head and self.headers else 0
        if self._unfinished_bytes > MAX_HEAD_BYTES or lines > MAX_HEADER_LINES:
            self._refuse(*_TOO_LARGE)
        elif self._reading_head and self._unfinished_bytes and self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Count from the first byte of a request."""
        super().on_message_begin()
        self._unfinished_bytes = max(1, self._unfinished_bytes)

    def on_headers_complete(self) -> None:
        """Let a request begin whose head is within bounds, also one that came in a single read."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADER_LINES:
            self._refused = _TOO_LARGE
            # Ends the parser's work; uvicorn calls send_400_response then.
            raise ValueError(_TOO_LARGE[1])
        self._reading_head = False
        self._unfinished_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Begin a chunk: the parser has dropped what came before."""
        self._unfinished_bytes = 0

    on_chunk_complete = on_chunk_header

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on: the parser does not keep it."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        self._reading_head = True
        self._unfinished_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give the rest of an answered request's body as much time as a head: the application no longer reads it.

        A client that does not wait for answers may be sending the body of the next request, whose turn it is now.
        """
        super().on_response_complete()
        if not self._reading_head and not self._answering() and not self.transport.is_closing():
            self._stop_timer()
            self._start_timer()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser can't read, or that a callback refused, with the callback's status."""
        self._refuse(*(self._refused or (HTTPStatus.BAD_REQUEST, msg)))

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._head_timeout_s, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if not self._reading_head:
            self.transport.close()
        elif self._answering():
            # It sent the next head too early; the answer to the one before goes first.
            self._start_timer()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's head was not there in {self._head_timeout_s:g} s")

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._refused = status, message
        self._stop_timer()
        if self._answering():
            # An answer may be half written; nothing can be put into it.
            self.transport.close()
            return
        body = f"{message}\n".encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.close)


_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"the request's line and headers are more than {MAX_HEAD_BYTES // 1024} KiB, or more than {MAX_HEADER_LINES} lines",
)
