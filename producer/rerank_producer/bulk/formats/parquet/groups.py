"""The rows of a Parquet file by query: those of each query together, from any row on, with flat memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rerank_producer.bulk.files.parquet import arrow, opened
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.parquet.layout import Layout

_BATCH_ROWS = 1_024
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one query: the index of the first, and their values, as a record batch."""

    first: int
    batch: Any

    @property
    def end(self) -> int:
        """The index of the row behind the last."""
        return self.first + int(self.batch.num_rows)


@dataclass(frozen=True, slots=True)
class GroupChunk:
    """Some whole groups, their positions, and the digest of all their values."""

    start: Position
    end: Position
    digest: bytes
    groups: tuple[Group, ...]


def chunks(layout: Layout, start: Position, size_pairs: int) -> Iterator[GroupChunk]:
    """Yield chunks of groups from a position on; one ends with the group that reaches `size_pairs`.

    A position's byte is the index of a row here. Raises InputRefused, OSError, ConfigurationError.
    """
    held: list[Group] = []
    pairs = 0
    for group in _groups(layout, start.byte):
        held.append(group)
        pairs += _pairs(layout, group)
        if pairs >= size_pairs:
            yield (chunk := _chunk(layout, start, held))
            start, held, pairs = chunk.end, [], 0
    if held:
        yield _chunk(layout, start, held)


def _chunk(layout: Layout, start: Position, held: list[Group]) -> GroupChunk:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for group in held:
        for name, column in zip(layout.schema.names, group.batch.columns, strict=True):
            digest.update(f"{name} {_values(layout, column)!r}\n".encode(errors="surrogatepass"))
    end = Position(start.chunk + 1, held[-1].end, held[-1].end)
    return GroupChunk(start, end, digest.digest(), tuple(held))


def _pairs(layout: Layout, group: Group) -> int:
    if not layout.lists:
        return int(group.batch.num_rows)
    (documents,) = group.batch.column(layout.documents).to_pylist()
    return max(1, len(documents or ()))


def _values(layout: Layout, column: Any) -> list[Any]:
    """Return the values of a column, times as the numbers that they are stored as."""
    pa = arrow(layout.path)
    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        # Python's own times have no nanoseconds.
        return list(column.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist())
    try:
        return list(column.to_pylist())
    except ValueError:
        # Nanoseconds in a list or a struct.
        return [str(column)]


def _groups(layout: Layout, row: int) -> Iterator[Group]:
    """Yield the groups from a row on, which begins one."""
    if layout.lists:
        for batch in _batches(layout, row):
            for place in range(batch.num_rows):
                yield Group(row + place, batch.slice(place, 1))
            row += batch.num_rows
        return
    parts: list[Any] = []
    before: Any = None
    for batch in _batches(layout, row):
        begin = 0
        for place, key in enumerate(_keys(layout, batch)):
            if (parts or place) and key != before:
                parts.append(batch.slice(begin, place - begin))
                yield (group := Group(row, _joined(layout, parts)))
                row, begin, parts = group.end, place, []
            before = key
        parts.append(batch.slice(begin))
    if parts:
        yield Group(row, _joined(layout, parts))


def _keys(layout: Layout, batch: Any) -> list[Any]:
    """Return what is the same for all rows of a query: its id, or else its text."""
    return list(batch.column(layout.query_id or layout.query).to_pylist())


def _joined(layout: Layout, parts: Iterable[Any]) -> Any:
    pa = arrow(layout.path)
    (batch,) = pa.Table.from_batches(parts, layout.schema).combine_chunks().to_batches() or [None]
    return batch


def _batches(layout: Layout, row: int) -> Iterator[Any]:
    """Yield the rows from one on as record batches of the layout's schema. Row groups before it are not read."""
    with opened(layout.path) as file:
        groups: list[int] = []
        first = 0
        for index in range(file.num_row_groups):
            rows = file.metadata.row_group(index).num_rows
            if groups or row < first + rows:
                groups.append(index)
            else:
                first += rows
        skipped = row - first
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups) if groups else ():
            if skipped >= batch.num_rows:
                skipped -= batch.num_rows
                continue
            yield _plain(layout, batch.slice(skipped))
            skipped = 0


def _plain(layout: Layout, batch: Any) -> Any:
    """Return a batch without dictionaries."""
    pa = arrow(layout.path)
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=layout.schema)
