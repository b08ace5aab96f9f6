"""Chunks: all lines once and in order, groups whole, and the same cuts wherever reading begins."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.bulk.formats import chunks
from rerank_producer.bulk.formats.chunks import Chunk, LineTooLong, Position, chunks_of, digest_of

LINES = st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"")), max_size=40)
SIZES = st.integers(1, 60)
BEGIN = Position()


def read(data: bytes, start: Position = BEGIN, size: int = 20, **options: object) -> list[Chunk]:
    stream = io.BytesIO(data)
    stream.seek(start.byte)
    return list(chunks_of(stream, start, size_bytes=size, **options))  # type: ignore[arg-type]


@given(LINES, SIZES, st.booleans())
def test_every_line_is_in_one_chunk(lines: list[bytes], size: int, ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    found = read(data, size=size)
    expected = data.split(b"\n")[: -1 if data.endswith(b"\n") or not data else None]
    assert [line for chunk in found for line in chunk.lines] == expected
    assert [chunk.start for chunk in found[1:]] == [chunk.end for chunk in found[:-1]]
    assert (found[-1].end.byte if found else 0) == len(data)
    assert all(chunk.end.byte - chunk.start.byte >= size for chunk in found[:-1])


@given(LINES, SIZES)
def test_reading_on_from_any_chunk_gives_the_same_ones(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    found = read(data, size=size)
    for place, chunk in enumerate(found):
        assert read(data, chunk.start, size) == found[place:]
        stream = io.BytesIO(data)
        stream.seek(chunk.start.byte)
        assert digest_of(stream, chunk.end.byte - chunk.start.byte) == chunk.digest


@given(st.lists(st.sampled_from([b"a 1", b"a 2", b"b 1", b"c 1"]), max_size=40), SIZES)
def test_a_group_is_never_cut(lines: list[bytes], size: int) -> None:
    found = read(b"\n".join(lines), size=size, group=lambda line: line[:1])
    for before, after in itertools.pairwise(found):
        assert before.lines[-1][:1] != after.lines[0][:1]


def test_lines_may_end_as_on_windows() -> None:
    assert [chunk.lines for chunk in read(b"a\r\nb\r\n")] == [(b"a", b"b")]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "LINE_BYTES", 10)
    with pytest.raises(LineTooLong, match="row 2"):
        read(b"short\n" + b"x" * 11)
