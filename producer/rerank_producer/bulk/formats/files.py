"""What formats of lines share: chunks of lines from a file, lines of JSON, and an output that is moved to its name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.sources import name_of_input, open_source
from rerank_producer.bulk.formats.chunks import Chunk, LineTooLong, Position, chunks_of
from rerank_producer.bulk.formats.rows import Answered, Row
from rerank_shared.errors import InputRefused, RerankError


def chunks_in(
    path: Path | None, start: Position, size_bytes: int, group: Callable[[bytes], object] | None = None
) -> Iterator[Chunk]:
    """Yield the chunks of a file of lines, or of standard input for None, from `start` on.

    Raises InputRefused, OSError, ConfigurationError.
    """
    with open_source(path, start.byte) as stream:
        try:
            yield from chunks_of(stream, start, group=group, size_bytes=size_bytes)
        except LineTooLong as error:
            raise InputRefused(f"{name_of_input(path)}: {error}: is it a file of lines at all?") from None


def as_line(value: Any) -> bytes:
    """Return a value as a line of JSON."""
    try:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON may spell and UTF-8 may not.
        return json.dumps(value).encode() + b"\n"


def failed_line(row: Row, error: RerankError) -> bytes:
    """Return the line of a row that failed: its number, why, and what stood in the input."""
    return as_line(
        {
            "line": row.number,
            "error": {"code": error.code, "message": error.message},
            "input": row.source.decode(errors="replace"),
        }
    )


def failed_lines(answered: Sequence[Answered]) -> bytes:
    """Return the lines of those rows that failed."""
    return b"".join(failed_line(each.row, each.answer) for each in answered if isinstance(each.answer, RerankError))


def move(part: Path, target: Path) -> None:
    """Move what was written to its name, if that has not been done yet. Raises OSError."""
    if part.exists() or not target.exists():
        os.replace(part, target)
