"""Rows asked of the in-memory fleet, answered as a bulk run hands them to a format; and a run that may be cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from rerank_producer import RerankClient
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.rows import Answered, Format, Row, RowChunk
from rerank_producer.testing import InMemoryFleet
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, Timings, Usage
from rerank_shared.errors import RerankError

MODEL = InMemoryFleet().settings.model


def answers(rows: Sequence[Row]) -> list[Answered]:
    """Return each row with its answer."""
    with InMemoryFleet().client() as client:
        return [_answered(client, row) for row in rows]


def _answered(client: RerankClient, row: Row) -> Answered:
    if row.error is not None:
        return Answered(row, row.error)
    try:
        answer, *further = (canonical(client, request) for request in row.requests)
    except RerankError as error:
        return Answered(row, error)
    return Answered(row, answer, tuple(further))


def canonical(client: RerankClient, request: RerankRequest) -> RerankResponse:
    """Return an answer with nothing in it that differs between two runs."""
    options = dict(request)
    options["top_n"] = None
    answer = client.rerank(options.pop("query"), options.pop("documents"), **options)
    results = [result.model_copy(update={"cached": False}) for result in answer.results]
    tokens = sum(result.tokens or 0 for result in results)
    return answer.model_copy(
        update={
            "id": "",
            "results": results,
            "timings": Timings(),
            "usage": Usage(tokens=tokens, pairs_run=len(results)),
            "batch_pairs": [],
            "workers": [],
        }
    )


def output(form: Format, chunks: Sequence[RowChunk]) -> tuple[bytes, bytes]:
    """Return what a run of these chunks writes, and the rows that failed."""
    written, failed = b"", b""
    for chunk in chunks:
        answered = answers(chunk.rows)
        written += form.write(answered, first=chunk.start == Position())
        failed += form.write_failed(answered)
    return written, failed


def check_resumed(make: Callable[[], Format], chunk_bytes: int) -> list[RowChunk]:
    """Check that a run that is cut behind any chunk, and resumed, reads and writes what an uncut one does.

    Returns the chunks.
    """

    def made() -> Format:
        form: Any = make()
        form.chunk_bytes = chunk_bytes
        return cast(Format, form)

    chunks = list(made().read(Position()))
    whole = output(made(), chunks)
    for place, chunk in enumerate(chunks, start=1):
        following = list(made().read(chunk.end))
        assert list(map(_comparable, following)) == list(map(_comparable, chunks[place:]))
        begun, rest = output(made(), chunks[:place]), output(made(), following)
        assert (begun[0] + rest[0], begun[1] + rest[1]) == whole
    return chunks


def _comparable(chunk: RowChunk) -> RowChunk:
    """Return a chunk whose errors are equal where they say the same."""
    rows = tuple(replace(row, error=None, context=(repr(row.context), repr(row.error))) for row in chunk.rows)
    return replace(chunk, rows=rows)
