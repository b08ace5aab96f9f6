"""`jsonl`: a request of `rerank-fleet rerank --input` a line, and its results a line, best first.

    {"id": "7", "query": "…", "documents": ["…", {"id": "d1", "text": "…"}], "top_n": 3}
    {"line": 1, "id": "7", "results": [{"index": 1, "id": "d1", "relevance_score": 0.9, …}, …], "model": "…"}

A line's own options come before those of the run; `class` and `deadline_ms` are taken and not used. With a depth, the
documents behind it follow without scores. Blank lines are passed over and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_producer.bulk.chunks import CHUNK_BYTES, Position
from rerank_producer.bulk.formats.answers import as_bulk, order_score, refuse_other_model, to_depth, with_rest
from rerank_producer.bulk.formats.files import as_line, chunks_in, failed_lines, move
from rerank_producer.bulk.formats.request_line import decoded, request_of, without_id
from rerank_producer.bulk.rows import Answered, ReadOptions, Row, RowChunk, WriteOptions
from rerank_producer.bulk.sources import plain_bytes
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, Result
from rerank_shared.errors import InvalidRequest, RerankError

#: Of a result, by the order in which they are written; those without a value are left out.
_FIELDS = (
    "index", "id", "relevance_score", "logit", "tokens", "truncated", "metadata",
    "first_stage_score", "fused_score", "ranks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    """The id that a line's answer repeats, and the documents behind the depth."""

    id: str | int | None
    rest: tuple[Result, ...] = ()


class JsonlFormat:
    """Requests a line, results a line."""

    name = "jsonl"
    appends = True
    #: A chunk ends with the line that reaches it.
    chunk_bytes = CHUNK_BYTES

    def __init__(self, path: Path | None, options: ReadOptions, write: WriteOptions) -> None:
        self._path, self._options, self._write = path, options, write

    def inputs(self) -> Mapping[str, Path | None]:
        """Return the one file that is read."""
        return {"input": self._path}

    def input_bytes(self) -> int | None:
        """Return the size of a file that is not compressed."""
        return plain_bytes(self._path)

    def survey(self) -> int | None:
        """Return None: a line stands for itself."""
        return None

    def read(self, start: Position) -> Iterator[RowChunk]:
        """Yield the chunks from `start` on. Raises InputRefused, OSError, ConfigurationError."""
        for chunk in chunks_in(self._path, start, self.chunk_bytes):
            numbered = enumerate(chunk.lines, start=chunk.start.row + 1)
            rows = tuple(self._row(number, line) for number, line in numbered if line.strip())
            yield RowChunk(chunk.start, chunk.end, chunk.digest, rows)

    def _row(self, number: int, line: bytes) -> Row:
        try:
            name, fields = without_id(decoded(line, "`query` and `documents`"))
            whole = as_bulk(request_of(fields, self._options.defaults), self._options.defaults)
            refuse_other_model(whole.model, self._options.defaults.get("model"))
        except InvalidRequest as error:
            return Row(number, line, None, error)
        request = to_depth(whole, self._options.depth)
        return Row(number, line, request, context=_Line(name, _behind(whole, len(request.documents))))

    def write(self, answered: Sequence[Answered], *, first: bool) -> bytes:
        """Return a line for each row that has an answer."""
        lines = []
        for each in answered:
            if not isinstance(each.answer, RerankError):
                lines.append(as_line(self._written(each.row, each.answer)))
        return b"".join(lines)

    def _written(self, row: Row, answer: RerankResponse) -> dict[str, Any]:
        context: _Line = row.context
        record: dict[str, Any] = {"line": row.number}
        if context.id is not None:
            record["id"] = context.id
        results = with_rest(answer, list(context.rest)).results
        if self._write.score_only:
            return record | {"scores": [order_score(each) for each in sorted(results, key=lambda each: each.index)]}
        top_n = row.request and row.request.top_n
        results = results[: top_n or self._write.top_n]
        return record | {"results": [_result(each) for each in results], "model": answer.model.name}

    def write_failed(self, answered: Sequence[Answered]) -> bytes:
        """Return a line for each row that failed."""
        return failed_lines(answered)

    def assemble(self, part: Path, target: Path) -> None:
        """Move the output to its name."""
        move(part, target)


def _behind(request: RerankRequest, depth: int) -> tuple[Result, ...]:
    """Return the documents behind the first `depth`, as results without scores."""
    return tuple(
        Result(index=index, scored=False)
        if isinstance(document, str)
        else Result(index=index, id=document.id, metadata=document.metadata, scored=False)
        for index, document in enumerate(request.documents[depth:], start=depth)
    )


def _result(result: Result) -> dict[str, Any]:
    values = {name: getattr(result, name) for name in _FIELDS if result.scored or name != "truncated"}
    return {name: value for name, value in values.items() if value is not None}
