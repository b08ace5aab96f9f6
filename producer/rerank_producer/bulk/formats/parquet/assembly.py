"""A Parquet file of a stream of Arrow, with flat memory. It has its name when it is whole, and may be made again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rerank_producer.bulk.committed_file import sync_directory
from rerank_producer.bulk.extras import needed

#: A row group ends with the batch that reaches either.
_GROUP_ROWS = 64 << 10
_GROUP_BYTES = 32 << 20


def assemble(part: Path, target: Path, schema: Any) -> None:
    """Write the file at `target` of the stream in `part`, which is removed then; nothing is to be done without it.

    The same stream always gives the same bytes. Raises OSError.
    """
    if not part.exists() and target.exists():
        return
    temporary = target.with_name(target.name + ".tmp")
    try:
        _write(part, temporary, schema)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(target.parent)
    # Not sooner: until the file has its name, the stream is all there is.
    part.unlink()
    sync_directory(part.parent)


def _write(part: Path, temporary: Path, schema: Any) -> None:
    pa = needed("pyarrow", f"{part}: Parquet")
    parquet = needed("pyarrow.parquet", f"{part}: Parquet")
    with part.open("rb") as source, temporary.open("wb") as file:
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            held: list[Any] = []
            # A run without rows has no stream.
            for batch in pa.ipc.open_stream(source) if part.stat().st_size else ():
                held.append(batch)
                if sum(each.num_rows for each in held) >= _GROUP_ROWS or sum(e.nbytes for e in held) >= _GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(held, schema))
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held, schema))
        file.flush()
        os.fsync(file.fileno())
