"""Rows, chunks and formats: the plain data between a format and the run that scores its rows.

A row is what one request is made of: a line, or all lines of one query. A format reads chunks of rows from any position
and writes what came of them. It knows neither fleet nor journal, and the same rows and answers always give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rerank_producer.bulk.formats.chunks import Position
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import RerankError

DEFAULT_TAG = "rerank-fleet"


@dataclass(frozen=True, slots=True)
class Row:
    """One query with its candidates, as it stands in the input.

    - `number`: its place in the input, from 1; that of the first line where it has several.
    - `source`: its bytes in the input, for the file of failed rows.
    - `request`: what is asked of the fleet. Its `top_n` cuts the answer when that is written, not before.
    - `error`: why it can't be asked; then `request` is None.
    - `context`: what its format needs to write the answer.
    - `further`: requests beyond the first, where a row makes several. They are answered together or not at all.
    """

    number: int
    source: bytes
    request: RerankRequest | None
    error: RerankError | None = None
    context: Any = None
    further: tuple[RerankRequest, ...] = ()

    @property
    def requests(self) -> tuple[RerankRequest, ...]:
        """All that is asked of the fleet for this row; nothing where it can't be asked."""
        return () if self.request is None else (self.request, *self.further)


@dataclass(frozen=True, slots=True)
class RowChunk:
    """Rows that are committed together: where they begin and end in the input, and the digest of what was read."""

    start: Position
    end: Position
    digest: bytes
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A row and what came of it: the fleet's answer, with all its results, or else an error.

    `further` are the answers to the row's further requests, in order; none where there is an error.
    """

    row: Row
    answer: RerankResponse | RerankError
    further: tuple[RerankResponse, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What all formats take: `defaults` are options of each request, by the names of RerankRequest.

    `depth` is the number of candidates that are reranked, the first ones; None: all. `chunk_bytes` of input are
    committed at once, or a little more; None: as many as suit the format. A kill costs a chunk, a chunk two syncs.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    depth: int | None = None
    chunk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How answers are written. `top_n` is for rows that do not say theirs.

    `score_only` leaves out all that can be had from the input. `tag` and `keep_ties` are for runs.
    """

    top_n: int | None = None
    score_only: bool = False
    tag: str = DEFAULT_TAG
    keep_ties: bool = False


class Format(Protocol):
    """One format of input and output."""

    #: As `--format` spells it.
    name: str
    #: Whether the output is the bytes of its chunks one after another, and nothing else.
    appends: bool

    def inputs(self) -> Mapping[str, Path | None]:
        """Return each file that is read, by what it is: `input`, `queries`, `corpus`; None for standard input."""

    def input_bytes(self) -> int | None:
        """Return the bytes that positions count in; None where that is not known before all is read."""

    def survey(self) -> int | None:
        """Check what can only be seen in the whole input, before anything is scored; return the number of its rows.

        Returns None where nothing must be seen first. Raises InputRefused.
        """

    def read(self, start: Position) -> Iterator[RowChunk]:
        """Yield the chunks from `start` on. A row that can't be asked has an error; the others go on.

        Raises InputRefused where the input is not of this format at all, OSError.
        """

    def write(self, answered: Sequence[Answered], *, first: bool) -> bytes:
        """Return the output of a chunk's rows that have an answer; `first` with what stands before all rows."""

    def write_failed(self, answered: Sequence[Answered]) -> bytes:
        """Return the lines of a chunk's rows that failed, for the file of failed rows."""

    def assemble(self, part: Path, target: Path) -> None:
        """Make the whole output at `target` from what was written: mostly by moving it. It may be done again."""
