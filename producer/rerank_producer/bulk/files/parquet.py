"""Parquet files as they are opened, wherever they are read. pyarrow is imported where it is first needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.extras import needed
from rerank_shared.errors import InputRefused

#: What every Parquet file begins with.
MAGIC = b"PAR1"


def arrow(path: Path) -> Any:
    """Return pyarrow. Raises ConfigurationError."""
    return needed("pyarrow", f"{path}: Parquet")


def opened(path: Path) -> Any:
    """Return an open Parquet file. Raises InputRefused, OSError, ConfigurationError."""
    parquet = needed("pyarrow.parquet", f"{path}: Parquet")
    try:
        # With a buffer, a column is read piece by piece and not all of a row group at once.
        return parquet.ParquetFile(path, buffer_size=1 << 20)
    except arrow(path).ArrowInvalid as error:
        raise InputRefused(f"{path}: no Parquet file, or damaged: {error}") from None
