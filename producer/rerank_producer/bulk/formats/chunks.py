"""Chunks of a file of lines: byte ranges that end where a line ends, and never inside a group of lines. Pure.

A chunk is what a run commits at once. Its digest tells, when a run is resumed, whether the input is still the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

#: Bytes after which a chunk ends with its group: some thousand pairs at most, so that a kill costs seconds.
CHUNK_BYTES = 256 << 10
#: A line longer than this is none: most likely the file is not of lines at all.
LINE_BYTES = 256 << 20
_DIGEST_BYTES = 16


class LineTooLong(ValueError):
    """A line has more bytes than `LINE_BYTES`."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a chunk begins: its number, the byte, and the row, all from 0."""

    chunk: int = 0
    byte: int = 0
    row: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole lines, without their line breaks, the position of the first, and that behind the last."""

    start: Position
    end: Position
    lines: tuple[bytes, ...]
    digest: bytes


def chunks_of(
    stream: BinaryIO,
    start: Position,
    *,
    group: Callable[[bytes], object] | None = None,
    size_bytes: int = CHUNK_BYTES,
) -> Iterator[Chunk]:
    """Yield the chunks of a stream that stands at `start`. Lines that follow each other with one `group` stay together.

    Raises LineTooLong.
    """
    lines: list[bytes] = []
    held_bytes, before, digest = 0, None, _digest()
    for raw in iter(lambda: stream.readline(LINE_BYTES + 1), b""):
        if len(raw) > LINE_BYTES:
            raise LineTooLong(f"row {start.row + len(lines) + 1} has more than {LINE_BYTES:,} bytes")
        line = raw.rstrip(b"\r\n")
        now = None if group is None else group(line)
        if held_bytes >= size_bytes and (group is None or now != before):
            chunk = _chunk(start, lines, held_bytes, digest)
            yield chunk
            start, lines, held_bytes, digest = chunk.end, [], 0, _digest()
        lines.append(line)
        digest.update(raw)
        held_bytes, before = held_bytes + len(raw), now
    if lines:
        yield _chunk(start, lines, held_bytes, digest)


def digest_of(stream: BinaryIO, length: int) -> bytes:
    """Return the digest of the next `length` bytes, as a chunk of them has it."""
    digest = _digest()
    while length > 0 and (part := stream.read(min(length, CHUNK_BYTES))):
        digest.update(part)
        length -= len(part)
    return digest.digest()


def _digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def _chunk(start: Position, lines: list[bytes], held_bytes: int, digest: hashlib.blake2b) -> Chunk:
    end = Position(start.chunk + 1, start.byte + held_bytes, start.row + len(lines))
    return Chunk(start, end, tuple(lines), digest.digest())
