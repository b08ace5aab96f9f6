"""Inputs as plain streams that begin at any byte, and outputs that are compressed part by part.

What a file's name says of its compression counts: `.gz` and `.zst`, also of several members or frames. Positions are
those of the content. A plain file is entered at once; of any other, all before the position is read and thrown away.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from rerank_producer.bulk.files.extras import needed
from rerank_shared.errors import InputRefused

#: Suffixes of compressed files.
COMPRESSED = (".gz", ".zst")
_BUFFER_BYTES = 1 << 20
#: Of compressed data at once, since what comes out of it can be many times as much.
_ZSTD_READ_BYTES = 16 << 10
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_SHOWN_BYTES = 64


def open_source(path: Path | None, position: int = 0) -> BinaryIO:
    """Open the content of a file, or standard input for None, from a byte on.

    Raises OSError, ConfigurationError; reading raises InputRefused for a compressed file that is damaged or cut short.
    """
    if path is None:
        standard_input: Any = sys.stdin.buffer
        # It stays open: it is not ours.
        stream = io.BufferedReader(_Decoded(standard_input.read1), _BUFFER_BYTES)
        return _behind(stream, position, "standard input")
    if compression_of(path) is None:
        file = path.open("rb", buffering=_BUFFER_BYTES)
        file.seek(position)
        return file
    raw: io.RawIOBase = _gzipped(path) if compression_of(path) == ".gz" else _zstandard(path)
    return _behind(io.BufferedReader(raw, _BUFFER_BYTES), position, str(path))


def compression_of(path: Path) -> str | None:
    """Return the suffix that says how a file is compressed; None for a plain one."""
    suffix = path.suffix.lower()
    return suffix if suffix in COMPRESSED else None


def plain_bytes(path: Path | None) -> int | None:
    """Return the size of a file that is not compressed; None for any other, and for standard input."""
    return None if path is None or compression_of(path) is not None else path.stat().st_size


def plain_name(path: Path) -> str:
    """Return a file's name in lower case, without the suffix of its compression."""
    name = path.name.lower()
    return name if compression_of(path) is None else name[: -len(path.suffix)]


def name_of_input(path: Path | None) -> str:
    """Return what messages call an input."""
    return "standard input" if path is None else str(path)


def shown(data: bytes) -> str:
    """Return the first bytes of some, for a message."""
    return repr(data[:_SHOWN_BYTES]) + (" …" if len(data) > _SHOWN_BYTES else "")


def compressor(path: Path) -> Callable[[bytes], bytes]:
    """Return what makes of each part of an output the bytes for its file: a gzip member, a zstd frame, or itself.

    The same part always gives the same bytes, and no bytes stay none. Raises ConfigurationError.
    """
    suffix = compression_of(path)
    if suffix == ".gz":
        # Without the time, so that the same part gives the same bytes.
        return lambda data: gzip.compress(data, _GZIP_LEVEL, mtime=0) if data else b""
    if suffix == ".zst":
        codec = needed("zstandard", f"{path}: Zstandard").ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        return lambda data: bytes(codec.compress(data)) if data else b""
    return lambda data: data


class _Decoded(io.RawIOBase):
    """The bytes that `read` returns, up to as many as it is asked for and none at the end."""

    def __init__(self, read: Callable[[int], bytes], close: Callable[[], object] = lambda: None) -> None:
        self._read, self._close = read, close

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._close()
        super().close()


def _gzipped(path: Path) -> _Decoded:
    file = gzip.GzipFile(path)

    def read(size: int) -> bytes:
        try:
            return file.read1(size)
        except EOFError:
            raise _cut_short(path) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise _damaged(path, "gzip", error) from None

    return _Decoded(read, file.close)


def _zstandard(path: Path) -> _Decoded:
    zstandard = needed("zstandard", f"{path}: Zstandard")
    file = path.open("rb")
    frame: Any = None
    # What was read and not decompressed, and what was decompressed and not returned.
    packed, ready = b"", memoryview(b"")

    def read(size: int) -> bytes:
        nonlocal frame, packed, ready
        while not ready:
            packed = packed or file.read(_ZSTD_READ_BYTES)
            if not packed:
                if frame is not None:
                    raise _cut_short(path)
                return b""
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                ready = memoryview(frame.decompress(packed))
            except zstandard.ZstdError as error:
                raise _damaged(path, "zstd", error) from None
            packed = b""
            if frame.eof:
                frame, packed = None, frame.unused_data
        data, ready = bytes(ready[:size]), ready[size:]
        return data

    return _Decoded(read, file.close)


def _behind(stream: BinaryIO, position: int, name: str) -> BinaryIO:
    """Return a stream of which the first bytes have been read."""
    left = position
    while left > 0:
        data = stream.read(min(left, _BUFFER_BYTES))
        if not data:
            raise InputRefused(f"{name}: it has {position - left:,} bytes, and {position:,} were read before")
        left -= len(data)
    return stream


def _cut_short(path: Path) -> InputRefused:
    return InputRefused(f"{path}: it is cut short: its compressed data ends in the middle. Copy or download it again")


def _damaged(path: Path, kind: str, error: Exception) -> InputRefused:
    return InputRefused(f"{path}: no {kind} file, or damaged: {error}")
