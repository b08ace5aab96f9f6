"""The progress of a run, for whoever shows it: written by the run's thread, read by any."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rerank_producer.bulk.asking.fleet import Counters
from rerank_producer.bulk.committed.journal import ChunkCounts, Totals
from rerank_producer.bulk.formats.chunks import Position


@dataclass(slots=True)
class Progress:
    """How far a run is.

    - `committed`: counts of all chunks that are done, those of earlier commands included.
    - `earlier`: the same when this command took over.
    - `answered_queries`: rows that this command has answered, committed or not.
    - `asked`: what this command has asked of the fleet.
    - `total_queries`: of the whole input; None where that is not known beforehand.
    - `input_bytes`: its size, where chunks are parts of a file that is not compressed; `read_share` is the part of it
      that is done, 0 to 1.
    """

    committed: Totals = field(default_factory=Totals)
    earlier: Totals = field(default_factory=Totals)
    asked: Counters = field(default_factory=Counters)
    answered_queries: int = 0
    total_queries: int | None = None
    read_share: float | None = None
    input_bytes: int | None = None
    earlier_share: float = 0.0
    began_at: float = field(default_factory=time.monotonic)
    stage: str = "looking for the fleet"

    def resume(self, done: Totals, end: Position) -> None:
        """Count what earlier commands have done, and begin to measure."""
        self.committed = self.earlier = done
        self._see(end)
        self.earlier_share = self.share or 0.0
        self.began_at = time.monotonic()

    def commit(self, end: Position, counts: ChunkCounts) -> None:
        """Count a chunk that is done."""
        self.committed = self.committed.with_chunk(end, counts)
        self._see(end)

    def _see(self, end: Position) -> None:
        if self.input_bytes:
            self.read_share = min(1.0, end.byte / self.input_bytes)

    @property
    def share(self) -> float | None:
        """The part of the run that is done, 0 to 1; None where it can't be told."""
        if self.total_queries:
            return min(1.0, (self.earlier.queries + self.answered_queries) / self.total_queries)
        return self.read_share

    def seconds(self) -> float:
        """Return the seconds since this command began."""
        return time.monotonic() - self.began_at

    def left_s(self) -> float | None:
        """Return the seconds that the rest takes at the rate so far; None where that can't be told."""
        share = self.share
        if share is None or share <= self.earlier_share:
            return None
        return self.seconds() * (1 - share) / (share - self.earlier_share)
