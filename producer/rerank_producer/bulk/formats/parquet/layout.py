"""What the columns of a Parquet file are: the query, its documents, and what else a request is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rerank_producer.bulk.extras import needed
from rerank_shared.errors import InputRefused

QUERY_NAME = "query"
QUERY_ID_NAMES = ("qid", "query_id")
TEXT_NAMES = ("text", "document", "passage", "content", "contents")
LIST_NAMES = ("documents", "texts", "candidates", "passages")
SCORE_NAME, SCORES_NAME = "score", "scores"
RESULT_NAMES = ("rerank_score", "rerank_rank", "rerank_error")


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


@dataclass(frozen=True)
class Layout:
    """The columns of a file, whose `schema` is without dictionaries; `lists`: a row is a query, and `documents` a list.

    `scores` and `query_id` are None where the file has none.
    """

    path: Path
    schema: Any
    documents: str
    lists: bool
    scores: str | None
    query_id: str | None

    @classmethod
    def of(cls, path: Path, schema: Any) -> Layout:
        """Return the layout of a file. Raises InputRefused, which names the columns that are there."""
        pa = arrow(path)
        schema = pa.schema([pa.field(field.name, _plain(pa, path, field)) for field in schema])
        names: list[str] = schema.names
        _check_names(path, names)
        types = pa.types
        listed = [name for name in LIST_NAMES if name in names and _is_text_list(types, schema.field(name).type)]
        texts = [name for name in TEXT_NAMES if name in names and _is_text(types, schema.field(name).type)]
        if not listed and not texts:
            raise InputRefused(
                f"{path}: no documents are there: a text column named {', '.join(TEXT_NAMES)}, or a column of lists of "
                f"texts named {', '.join(LIST_NAMES)}, expected; its columns are {_shown(schema)}"
            )
        if not _is_text(types, schema.field(QUERY_NAME).type):
            raise InputRefused(f"{path}: the column {QUERY_NAME} is no text; its columns are {_shown(schema)}")
        return cls(
            path,
            schema,
            (listed or texts)[0],
            lists=bool(listed),
            scores=_scores(types, schema, lists=bool(listed)),
            query_id=None if listed else next((name for name in QUERY_ID_NAMES if name in names), None),
        )

    @cached_property
    def text_columns(self) -> tuple[str, str]:
        """The columns that the output leaves out where scores alone are wanted."""
        return QUERY_NAME, self.documents

    def output_schema(self, *, score_only: bool) -> Any:
        """Return the schema of the output."""
        pa = arrow(self.path)
        kept = [field for field in self.schema if not (score_only and field.name in self.text_columns)]
        score, rank = pa.float32(), pa.int32()
        types = (pa.list_(score), pa.list_(rank)) if self.lists else (score, rank)
        return pa.schema([*kept, *map(pa.field, RESULT_NAMES, (*types, pa.string()))])


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise InputRefused(f"{path}: two columns are named {sorted(twice)[0]}")
    taken = [name for name in RESULT_NAMES if name in names]
    if taken:
        raise InputRefused(f"{path}: it has a column {taken[0]} already, by which the result would be named")
    if QUERY_NAME not in names:
        raise InputRefused(f"{path}: no column is named {QUERY_NAME}; its columns are {', '.join(names)}")


def _scores(types: Any, schema: Any, *, lists: bool) -> str | None:
    """Return the column of first-stage scores; None where there is none of numbers."""
    name = SCORES_NAME if lists else SCORE_NAME
    if name not in schema.names:
        return None
    kind = schema.field(name).type
    if lists:
        return name if _is_list(types, kind) and _is_number(types, kind.value_type) else None
    return name if _is_number(types, kind) else None


def _plain(pa: Any, path: Path, field: Any) -> Any:
    """Return the type of a column without its dictionary. Raises InputRefused where one lies deeper."""
    kind = field.type
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if "dictionary<" in str(kind):
        raise InputRefused(f"{path}: the column {field.name} has categories inside of {kind.id}; write it without")
    return kind


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text_list(types: Any, kind: Any) -> bool:
    return _is_list(types, kind) and _is_text(types, kind.value_type)


def _is_number(types: Any, kind: Any) -> bool:
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind))


def _shown(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
