"""What formats of JSON lines share: a row a line, a line for each answer. Blank lines are passed over and counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.sources import plain_bytes
from rerank_producer.bulk.formats.chunks import CHUNK_BYTES, Chunk, Position
from rerank_producer.bulk.formats.files import as_line, chunks_in, failed_lines, move
from rerank_producer.bulk.formats.rows import Answered, ReadOptions, Row, RowChunk, WriteOptions
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import RerankError


class LineFormat(ABC):
    """A format of JSON lines. Its own are `row`, which reads a line, and `written`, which is what an answer says."""

    name: str
    appends = True
    #: A chunk ends with the line that reaches it.
    chunk_bytes = CHUNK_BYTES

    def __init__(self, path: Path | None, options: ReadOptions, write: WriteOptions) -> None:
        self._path, self._options, self._write = path, options, write

    @abstractmethod
    def row(self, number: int, line: bytes) -> Row:
        """Return the row of a line; one that can't be asked has an error."""

    @abstractmethod
    def written(self, each: Answered, answer: RerankResponse) -> dict[str, Any]:
        """Return the line of an answer."""

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
        for chunk in chunks_in(self._path, start, self._options.chunk_bytes or self.chunk_bytes):
            yield RowChunk(chunk.start, chunk.end, chunk.digest, self.rows(chunk))

    def rows(self, chunk: Chunk) -> tuple[Row, ...]:
        """Return the rows of a chunk."""
        numbered = enumerate(chunk.lines, start=chunk.start.row + 1)
        return tuple(self.row(number, line) for number, line in numbered if line.strip())

    def write(self, answered: Sequence[Answered], *, first: bool) -> bytes:
        """Return a line for each row that has an answer."""
        lines = []
        for each in answered:
            if not isinstance(each.answer, RerankError):
                lines.append(as_line(self.written(each, each.answer)))
        return b"".join(lines)

    def write_failed(self, answered: Sequence[Answered]) -> bytes:
        """Return a line for each row that failed."""
        return failed_lines(answered)

    def assemble(self, part: Path, target: Path) -> None:
        """Move the output to its name."""
        move(part, target)
