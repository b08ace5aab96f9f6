"""Tables of other people's libraries: their columns as lists, and the columns of results beside their own.

No library is imported for it: a table of one is only there where that was imported already. A table that is given is
never changed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rerank_producer.integrations._columns import ERROR, RANK, SCORE, Data
from rerank_shared.errors import InvalidRequest


class Kind(Protocol):
    """One kind of table."""

    def names(self, table: Any) -> list[str]:
        """Return the names of the columns."""

    def lists(self, table: Any, names: Sequence[str]) -> Data:
        """Return some columns as lists, with None for null."""

    def with_results(self, table: Any, results: Data, *, listed: bool) -> Any:
        """Return the table with the columns of results; where they are `listed`, a row has a list of scores."""


class Pandas:
    """A pandas DataFrame. Ranks are of its type Int64, which has nulls."""

    def names(self, table: Any) -> list[str]:
        return [name for name in table.columns if isinstance(name, str)]

    def lists(self, table: Any, names: Sequence[str]) -> Data:
        def listed(column: Any) -> list[Any]:
            return [_plain(value) for value in column.astype(object).where(column.notna(), None)]

        return {name: listed(table[name]) for name in names}

    def with_results(self, table: Any, results: Data, *, listed: bool) -> Any:
        pandas = sys.modules["pandas"]
        types = {SCORE: object, RANK: object, ERROR: object} if listed else {SCORE: float, RANK: "Int64", ERROR: object}
        columns = {
            name: pandas.Series(list(values), index=table.index, dtype=types[name]) for name, values in results.items()
        }
        return table.assign(**columns)


class Polars:
    """A Polars DataFrame."""

    def names(self, table: Any) -> list[str]:
        return list(table.columns)

    def lists(self, table: Any, names: Sequence[str]) -> Data:
        return {name: table[name].to_list() for name in names}

    def with_results(self, table: Any, results: Data, *, listed: bool) -> Any:
        polars = sys.modules["polars"]
        score, rank = polars.Float64, polars.Int64
        types = {
            SCORE: polars.List(score) if listed else score,
            RANK: polars.List(rank) if listed else rank,
            ERROR: polars.String,
        }
        return table.with_columns(polars.Series(name, values, types[name]) for name, values in results.items())


class Arrow:
    """A PyArrow table."""

    def names(self, table: Any) -> list[str]:
        return list(table.column_names)

    def lists(self, table: Any, names: Sequence[str]) -> Data:
        return {name: table.column(name).to_pylist() for name in names}

    def with_results(self, table: Any, results: Data, *, listed: bool) -> Any:
        arrow = sys.modules["pyarrow"]
        score, rank = arrow.float64(), arrow.int64()
        types = {
            SCORE: arrow.list_(score) if listed else score,
            RANK: arrow.list_(rank) if listed else rank,
            ERROR: arrow.string(),
        }
        for name, values in results.items():
            table = table.append_column(name, arrow.array(values, types[name]))
        return table


class Arrays:
    """A mapping from names to arrays, as Ray Data has it by default. Results have None for null."""

    def names(self, table: Any) -> list[str]:
        return list(table)

    def lists(self, table: Any, names: Sequence[str]) -> Data:
        return {name: [_plain(value) for value in _plain(table[name])] for name in names}

    def with_results(self, table: Any, results: Data, *, listed: bool) -> Any:
        return {**table, **{name: list(values) for name, values in results.items()}}


#: Module and class of the tables of each kind.
_KINDS: tuple[tuple[str, str, Kind], ...] = (
    ("pandas", "DataFrame", Pandas()),
    ("polars", "DataFrame", Polars()),
    ("pyarrow", "Table", Arrow()),
)


def kind_of(table: Any) -> Kind:
    """Return the kind of a table. Raises InvalidRequest where it is none that is known."""
    for module, name, kind in _KINDS:
        library = sys.modules.get(module)
        if library is not None and isinstance(table, getattr(library, name)):
            return kind
    if isinstance(table, Mapping):
        return Arrays()
    found = f"{type(table).__module__}.{type(table).__name__}"
    raise InvalidRequest(
        f"table: a DataFrame of pandas or Polars, a PyArrow table or a mapping of arrays expected, not {found}; "
        "collect what is lazy first"
    )


def _plain(value: Any) -> Any:
    """Return arrays and numbers of NumPy as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value
