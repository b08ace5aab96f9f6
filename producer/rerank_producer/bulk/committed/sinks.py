"""Standard output as the place of a run's output. It is written at once, and a run can't go on with it after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from rerank_producer.bulk.committed.journal import ChunkCounts, Totals
from rerank_producer.bulk.formats.chunks import Position


class Sink(Protocol):
    """Where a run commits its chunks: a CommittedRun, or standard output."""

    def commit(self, end: Position, digest: bytes, output: bytes, failed: bytes, counts: ChunkCounts) -> None:
        """Write a chunk's output and its failed rows."""

    def finish(self, assemble: Callable[[Path, Path], None]) -> Totals:
        """Return the counts when all is written."""


@dataclass(slots=True)
class StandardOutput:
    """Writes to one stream, and failed rows to another if there is one."""

    output: BinaryIO
    failed: BinaryIO | None = None
    totals: Totals = field(default_factory=Totals)

    def commit(self, end: Position, digest: bytes, output: bytes, failed: bytes, counts: ChunkCounts) -> None:
        """Write and flush. Raises OSError; BrokenPipeError where nobody reads any more."""
        self.output.write(output)
        self.output.flush()
        if self.failed is not None and failed:
            self.failed.write(failed)
            self.failed.flush()
        self.totals = self.totals.with_chunk(end, counts)

    def finish(self, assemble: Callable[[Path, Path], None]) -> Totals:
        """Return the counts."""
        return self.totals
