"""What the columns of a Parquet file are: the query, its documents, and what else a request is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.parquet import arrow
from rerank_shared.errors import InputRefused

QUERY_NAME = "query"
QUERY_ID_NAMES = ("qid", "query_id")
TEXT_NAMES = ("text", "document", "passage", "content", "contents")
LIST_NAMES = ("documents", "texts", "candidates", "passages")
SCORE_NAME, SCORES_NAME = "score", "scores"
#: What `columns` may name; `text` and `documents`, `score` and `scores` are the same.
NAMED = ("query", "qid", "text", "documents", "score", "scores")
RESULT_NAMES = ("rerank_score", "rerank_rank", "rerank_error")


@dataclass(frozen=True)
class Layout:
    """The columns of a file, whose `schema` is without dictionaries; `lists`: a row is a query, and `documents` a list.

    `scores` and `query_id` are None where the file has none.
    """

    path: Path
    schema: Any
    query: str
    documents: str
    lists: bool
    scores: str | None
    query_id: str | None

    @classmethod
    def of(cls, path: Path, schema: Any, named: Mapping[str, str]) -> Layout:
        """Return the layout of a file; `named` has columns by what they are. Raises InputRefused."""
        pa = arrow(path)
        schema = pa.schema([pa.field(field.name, _plain(pa, path, field)) for field in schema])
        _check_names(path, schema.names, named)
        query = named.get("query", QUERY_NAME)
        if query not in schema.names or not _is_text(pa.types, schema.field(query).type):
            raise InputRefused(f"{path}: no text column is named {query}; its columns are {_shown(schema)}")
        documents = _documents(path, pa.types, schema, named)
        lists = _is_list(pa.types, schema.field(documents).type)
        return cls(
            path,
            schema,
            query,
            documents,
            lists,
            scores=_scores(path, pa.types, schema, named, lists=lists),
            query_id=None if lists else _first(schema.names, named.get("qid"), QUERY_ID_NAMES),
        )

    @cached_property
    def text_columns(self) -> tuple[str, str]:
        """The columns that the output leaves out where scores alone are wanted."""
        return self.query, self.documents

    def output_schema(self, *, score_only: bool) -> Any:
        """Return the schema of the output."""
        pa = arrow(self.path)
        kept = [field for field in self.schema if not (score_only and field.name in self.text_columns)]
        score, rank = pa.float32(), pa.int32()
        types = (pa.list_(score), pa.list_(rank)) if self.lists else (score, rank)
        return pa.schema([*kept, *map(pa.field, RESULT_NAMES, (*types, pa.string()))])


def _check_names(path: Path, names: Sequence[str], named: Mapping[str, str]) -> None:
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise InputRefused(f"{path}: two columns are named {sorted(twice)[0]}")
    taken = [name for name in RESULT_NAMES if name in names]
    if taken:
        raise InputRefused(f"{path}: it has a column {taken[0]} already, by which the result would be named")
    unknown = sorted(named.keys() - set(NAMED))
    if unknown:
        raise InputRefused(f"columns: {unknown[0]!r} is none that can be named; one of {', '.join(NAMED)} expected")
    absent = sorted(set(named.values()) - set(names))
    if absent:
        raise InputRefused(f"{path}: no column is named {absent[0]}; its columns are {', '.join(names)}")


def _documents(path: Path, types: Any, schema: Any, named: Mapping[str, str]) -> str:
    """Return the column of the documents, of lists before one of texts. Raises InputRefused."""
    given = named.get("documents", named.get("text"))
    lists = [given] if given else LIST_NAMES
    texts = [given] if given else TEXT_NAMES
    for names, fits in ((lists, _is_text_list), (texts, _is_text)):
        for name in names:
            if name in schema.names and fits(types, schema.field(name).type):
                return name
    raise InputRefused(
        f"{path}: no documents are there: a text column named {', '.join(texts)}, or a column of lists of texts named "
        f"{', '.join(lists)}, expected; its columns are {_shown(schema)}"
    )


def _scores(path: Path, types: Any, schema: Any, named: Mapping[str, str], *, lists: bool) -> str | None:
    """Return the column of first-stage scores; None where there is none. Raises InputRefused for one of no numbers."""
    given = named.get("scores", named.get("score"))
    name = _first(schema.names, given, (SCORES_NAME if lists else SCORE_NAME,))
    if name is None:
        return None
    kind = schema.field(name).type
    if _is_list(types, kind) == lists and _is_number(types, kind.value_type if lists else kind):
        return name
    if given is None:
        return None
    raise InputRefused(f"{path}: the column {name} is no {'list of numbers' if lists else 'number'}, but {kind}")


def _first(names: Sequence[str], given: str | None, usual: Sequence[str]) -> str | None:
    """Return the column that was named, or else the first of the usual ones that is there."""
    return given or next((name for name in usual if name in names), None)


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
