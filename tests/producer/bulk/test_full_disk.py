"""No room for a file of a run: the error names the file, and with room again the run goes on to the same bytes.

The size of the files that this process may write is limited instead of the disk, which takes no rights.
"""

from __future__ import annotations

import asyncio
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from producer.conftest import Echo
from rerank_producer.bulk.bulk_run import Summary, carry_out
from rerank_producer.bulk.committed.committed_run import failed_of
from rerank_producer.bulk.formats.jsonl import JsonlFormat
from rerank_producer.bulk.formats.rows import ReadOptions, WriteOptions
from rerank_producer.bulk.spec import BulkSpec
from support.bulk import committed, write_rows

ROWS = 300


@contextmanager
def room(limit: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def start(echo: Echo, source: Path, output: Path, write: WriteOptions, chunk_bytes: int) -> Summary:
    read = ReadOptions(chunk_bytes=chunk_bytes)
    return asyncio.run(
        carry_out(BulkSpec(JsonlFormat(source, read, write), output, read=read, write=write), settings=echo.settings)
    )


@pytest.mark.parametrize(
    ("name", "bad_share", "write", "chunk_bytes", "limits"),
    [
        ("out.part", 0.05, WriteOptions(), 500, [20_000, 60_001]),
        ("out.journal", 0.0, WriteOptions(score_only=True), 1, [17_000]),
        ("out.failed.jsonl.part", 1.0, WriteOptions(), 500, [18_000, 24_001]),
    ],
    ids=["output", "journal", "failed rows"],
)
def test_a_full_disk_is_named_and_costs_nothing(
    echo: Echo, tmp_path: Path, name: str, bad_share: float, write: WriteOptions, chunk_bytes: int, limits: list[int]
) -> None:
    source = write_rows(tmp_path / "in.jsonl", ROWS, 4, random.Random(5), bad_share=bad_share)
    output, before = tmp_path / "out", 0
    for limit in limits:
        with room(limit), pytest.raises(OSError, match=r"too large|disk I/O error|full") as full:
            start(echo, source, output, write, chunk_bytes)
        assert full.value.filename == str(tmp_path / name)
        assert before < committed(output) < ROWS
        before = committed(output)
    assert start(echo, source, output, write, chunk_bytes).earlier.queries == before
    start(echo, source, tmp_path / "peace", write, chunk_bytes)
    assert output.read_bytes() == (tmp_path / "peace").read_bytes()
    if bad_share:
        assert failed_of(output).read_bytes() == failed_of(tmp_path / "peace").read_bytes()
