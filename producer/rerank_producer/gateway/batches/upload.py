"""An upload: a multipart body that streams to the disk, bounded in bytes and time, and never held in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import ClientGone, Refused
from rerank_producer.gateway.batches.file_store import FileStore, disk_full
from rerank_producer.gateway.batches.ids import new_file_id
from rerank_producer.gateway.batches.records import ExpiresAfter, FileRecord
from rerank_producer.gateway.http.body import declared_bytes, refuse_encoded

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: So much is written at once, and after so much the room is looked at again.
_WRITE_BYTES = 256 * 1024
_LOOK_BYTES = 4 * 1024 * 1024
#: All that is not the file: boundaries, headers of parts, fields.
_AROUND_BYTES = 64 * 1024
_MAX_FIELDS = 16
_NAME_CHARS = 255


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of one upload. `idle_s` is the longest pause; `keep_s` how long the file is kept."""

    file_bytes: int
    whole_s: float
    idle_s: float
    keep_s: int


@dataclass(slots=True)
class Form:
    """A multipart body while it is parsed: its fields as they end, the bytes of its one file as they come.

    Must never hold more than one read of the file, nor more than `_AROUND_BYTES` of all else.
    """

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    ended: bool = False
    _pieces: list[bytes] = field(default_factory=list)
    _around_bytes: int = 0
    _header: list[bytearray] = field(default_factory=lambda: [bytearray(), bytearray()])
    _part: str = ""
    _in_file: bool = False
    _value: bytearray = field(default_factory=bytearray)

    def parser(self, content_type: str) -> MultipartParser:
        """Return the parser that feeds this form. Raises Refused (400)."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise _wrong(
                "Content-Type: multipart/form-data with a boundary expected, with the parts `file` and `purpose`"
            )
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._grow(self._header[0], data[start:end]),
            "on_header_value": lambda data, start, end: self._grow(self._header[1], data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._end,
        }
        return MultipartParser(boundary, callbacks)

    def taken(self) -> Iterator[bytes]:
        """Yield what has come of the file since, and forget it."""
        pieces, self._pieces = self._pieces, []
        yield from pieces

    def _begin(self) -> None:
        self._part, self._in_file, self._value = "", False, bytearray()

    def _header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        self._header = [bytearray(), bytearray()]
        if name != b"content-disposition":
            return
        options = parse_options_header(value)[1]
        self._part = options.get(b"name", b"").decode(errors="replace")
        if self._part == "file":
            if self.filename is not None:
                raise _wrong("file: one file an upload expected")
            self._in_file = True
            self.filename = _shown_name(options.get(b"filename", b"").decode(errors="replace"))

    def _data(self, data: bytes) -> None:
        if self._in_file:
            self._pieces.append(data)
        else:
            self._grow(self._value, data)

    def _part_end(self) -> None:
        if not self._in_file:
            if len(self.fields) >= _MAX_FIELDS:
                raise _wrong(f"the form has more than {_MAX_FIELDS} fields")
            self.fields[self._part] = self._value.decode(errors="replace")

    def _end(self) -> None:
        self.ended = True

    def _grow(self, into: bytearray, data: bytes) -> None:
        self._around_bytes += len(data)
        if self._around_bytes > _AROUND_BYTES:
            raise _wrong(f"the form has more than {_AROUND_BYTES:,} bytes beside its file")
        into += data


@dataclass(slots=True)
class _Writer:
    """Writes pieces of a file, in a thread, and refuses what is too much."""

    store: FileStore
    owner: str
    limits: UploadLimits
    content: BinaryIO
    written: int = 0
    _waiting: list[bytes] = field(default_factory=list)
    _waiting_bytes: int = 0
    _looked_at: int = 0

    async def add(self, pieces: Iterator[bytes]) -> None:
        """Take pieces; they are written when they are many. Raises Refused (413), OSError."""
        for piece in pieces:
            self._waiting.append(piece)
            self._waiting_bytes += len(piece)
        if self.written + self._waiting_bytes > self.limits.file_bytes:
            raise _too_large(self.limits.file_bytes)
        if self._waiting_bytes >= _WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        data, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self.content.write(left) :]
        self.written += len(data)
        if self.written - self._looked_at >= _LOOK_BYTES:
            self._looked_at = self.written
            self.store.check_room(self.owner, 0)


async def receive_file(
    receive: Receive, headers: Headers, store: FileStore, owner: str, limits: UploadLimits
) -> FileRecord:
    """Store the file of a multipart body.

    Raises Refused (400; 408 where it comes too slowly; 413; 415; 507 where the disk is full), ClientGone and OSError.
    Nothing of it is left then.
    """
    refuse_encoded(headers)
    if declared_bytes(headers) > limits.file_bytes + _AROUND_BYTES:
        raise _too_large(limits.file_bytes)
    form = Form()
    parser = form.parser(headers.get("content-type", ""))
    try:
        await asyncio.to_thread(store.check_room, owner, declared_bytes(headers))
        file_id = new_file_id()
        with store.growing(owner, file_id) as content:
            writer = _Writer(store, owner, limits, content)
            await _read(receive, form, parser, writer)
            record = _record(form, file_id, writer.written, int(store.clock()), limits.keep_s)
            await asyncio.to_thread(store.keep, owner, record, content)
            return record
    except OSError as error:
        raise disk_full(error) or error from None


async def _read(receive: Receive, form: Form, parser: MultipartParser, writer: _Writer) -> None:
    limits = writer.limits
    try:
        async with asyncio.timeout(limits.whole_s):
            more = True
            while more:
                async with asyncio.timeout(limits.idle_s):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone("the client hung up while its file was read")
                parser.write(message.get("body", b""))
                await writer.add(form.taken())
                more = message.get("more_body", False)
            await writer.flush()
    except TimeoutError:
        raise _too_slow(limits) from None
    except FormParserError:
        # Its message may quote bytes of the body.
        raise _wrong("the body is no valid multipart form") from None
    if not form.ended:
        raise _wrong("the multipart form has no end: its last boundary is missing")


def _record(form: Form, file_id: str, size: int, now: int, keep_s: int) -> FileRecord:
    if form.filename is None:
        raise _wrong("file: is missing; the part `file` of the form has the content")
    if (purpose := form.fields.get("purpose", "")) != "batch":
        what = f"{purpose[:50]!r} is not taken here" if purpose else "is missing"
        raise _wrong(f"purpose: {what}; batch expected")
    if (asked := _expires_after(form.fields)) is not None:
        keep_s = min(keep_s, asked.seconds)
    return FileRecord(
        id=file_id, filename=form.filename, purpose="batch", bytes=size, created_at=now, expires_at=now + keep_s
    )


def _expires_after(fields: Mapping[str, str]) -> ExpiresAfter | None:
    given = {
        name: fields[f"expires_after[{name}]"] for name in ("anchor", "seconds") if f"expires_after[{name}]" in fields
    }
    if not given:
        return None
    try:
        return ExpiresAfter.model_validate(given)
    except ValidationError:
        raise _wrong("expires_after: the anchor created_at, and seconds from 3600, expected") from None


def _shown_name(name: str) -> str:
    """Return the last part of a file's name, for showing: it never becomes a path here."""
    last = PurePosixPath(PureWindowsPath(name).name).name
    return "".join(each for each in last if each.isprintable())[:_NAME_CHARS] or "upload.jsonl"


def _too_large(limit_bytes: int) -> Refused:
    return Refused(
        Problem(
            413, "file_too_large", f"file: larger than {limit_bytes:,} bytes, the most that is taken here; split it"
        )
    )


def _too_slow(limits: UploadLimits) -> Refused:
    message = (
        f"the file did not come fast enough: within {limits.whole_s:g} s, with no pause above {limits.idle_s:g} s; "
        "send it faster, or in parts"
    )
    return Refused(Problem(408, "body_too_slow", message, retryable=True, headers={"Connection": "close"}))


def _wrong(message: str) -> Refused:
    return Refused(Problem(400, "invalid_request", message))
