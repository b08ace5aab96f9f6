"""A Parquet file of a stream of Arrow, with flat memory. It has its name when it is whole, and may be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.durable import sync_directory, whole_file
from rerank_producer.bulk.files.extras import needed
from rerank_shared.errors import InputRefused

#: A row group ends with the batch that reaches either.
_GROUP_ROWS = 64 << 10
_GROUP_BYTES = 32 << 20


def assemble(part: Path, target: Path, schema: Callable[[], Any] | None = None) -> None:
    """Write the file at `target` of the stream in `part`, which is removed then; nothing is to be done without it.

    The same stream always gives the same bytes. `schema` is called where the stream is empty, since then there is none
    in it. Raises OSError; InputRefused for an empty stream of an unknown schema.
    """
    if not part.exists() and target.exists():
        return
    temporary = target.with_name(target.name + ".tmp")
    with whole_file(target, temporary):
        _write(part, temporary, schema)
    # Not sooner: until the file has its name, the stream is all there is.
    part.unlink()
    sync_directory(part.parent)


def _write(part: Path, temporary: Path, schema: Callable[[], Any] | None) -> None:
    pa = needed("pyarrow", f"{part}: Parquet")
    parquet = needed("pyarrow.parquet", f"{part}: Parquet")
    with part.open("rb") as source, temporary.open("wb") as file:
        # A run without rows has no stream.
        stream: Any = pa.ipc.open_stream(source) if part.stat().st_size else ()
        if stream:
            known = stream.schema
        elif schema is not None:
            known = schema()
        else:
            raise InputRefused(f"{part}: no row is committed so far, so that there is nothing to make Parquet of")
        with parquet.ParquetWriter(file, known, compression="zstd") as writer:
            for held in _row_groups(stream):
                writer.write_table(pa.Table.from_batches(held, known))


def _row_groups(batches: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the batches of each row group."""
    held: list[Any] = []
    for batch in batches:
        held.append(batch)
        if sum(each.num_rows for each in held) >= _GROUP_ROWS or sum(each.nbytes for each in held) >= _GROUP_BYTES:
            yield held
            held = []
    if held:
        yield held
