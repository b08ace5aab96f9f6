"""What a run has to do, chunk by chunk: rows to be asked, or parts of a previous output to be kept.

The chunks that are done are read again only as far as it takes to see that the input is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rerank_producer.bulk.committed.journal import Entry, Journal
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.rows import Format, RowChunk
from rerank_shared.errors import RunDiffers

BEGIN = Position()


@dataclass(frozen=True, slots=True)
class KeptChunk:
    """A chunk of the previous run without failure: its entry there, and where its output begins."""

    entry: Entry
    output_start: int

    @property
    def end(self) -> Position:
        """Where the next chunk begins."""
        return self.entry.end


@dataclass(frozen=True, slots=True)
class Done:
    """What is committed: the journal, if there is one, and its last entry."""

    journal: Journal | None = None
    last: Entry | None = None

    @property
    def end(self) -> Position:
        """Where the next chunk begins."""
        return self.last.end if self.last else BEGIN

    def entry(self, number: int) -> Entry | None:
        """Return a chunk that is committed."""
        return None if self.journal is None or number < 0 else self.journal.entry(number)


def todo(form: Format, done: Done, *, verify_all: bool, limit: int | None = None) -> Iterator[RowChunk]:
    """Yield the chunks behind what is done, with `limit` rows at most.

    The last chunk that is done is read again, or with `verify_all` each; RunDiffers is raised where one differs.
    """
    before = done.entry(done.end.chunk - 2)
    start = BEGIN if verify_all or before is None else before.end
    left_to_check = done.end.chunk - start.chunk
    for chunk in form.read(start):
        if left_to_check:
            _check(done.entry(chunk.start.chunk), chunk)
            left_to_check -= 1
            continue
        if limit is not None:
            chunk = replace(chunk, rows=chunk.rows[:limit])
            limit -= len(chunk.rows)
        if chunk.rows or limit is None:
            yield chunk
        if limit == 0:
            return
    if left_to_check:
        raise RunDiffers("the input is shorter than it was; give it back as it was, or begin anew with --overwrite")


def retried(form: Format, previous: Journal, done: Done) -> Iterator[RowChunk | KeptChunk]:
    """Yield the chunks of a finished run behind what is done of its retry; those without failure are kept.

    Raises RunDiffers where the input of a chunk with failures has changed.
    """
    number = done.end.chunk
    before = previous.entry(number - 1) if number else None
    while (entry := previous.entry(number)) is not None:
        if entry.failed_queries:
            start = before.end if before else BEGIN
            chunk = next(form.read(start), None)
            if chunk is None:
                raise RunDiffers("the input is shorter than it was; begin anew with --overwrite")
            _check(entry, chunk)
            yield replace(chunk, rows=chunk.rows[: entry.queries])
        else:
            yield KeptChunk(entry, before.output_bytes if before else 0)
        before, number = entry, number + 1


def _check(entry: Entry | None, chunk: RowChunk) -> None:
    if entry is None or (entry.digest, entry.end) != (chunk.digest, chunk.end):
        raise RunDiffers(
            f"the input has changed since: rows {chunk.start.row + 1:,} to {chunk.end.row:,} are not those whose "
            "scores were written. Give it back as it was, or begin anew with --overwrite"
        )
