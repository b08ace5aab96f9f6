"""`parquet`: pairs of query and text, one a row, or queries with lists of texts, one a row.

    pairs   query, text (document, passage, content); perhaps qid, score      rows of a query follow each other
    lists   query, documents (texts, candidates); perhaps scores              lists of texts and of numbers

`columns` names those that are called otherwise, as {"query": "question"}.

The output has all columns and rows of the input in their order, and beside them `rerank_score`, `rerank_rank` (from 1)
and `rerank_error`; for lists the first two are lists. Rows that failed stay, with an error and without a score, and
stand in the file of failed rows too. Rows behind the depth have a rank and no score. Of pairs with ranks behind the
best `top_n`, rows are left out; lists stay as long as they are.

Metadata of the input's schema is left out: it describes other columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.parquet import arrow, opened
from rerank_producer.bulk.formats.answers import order_score, to_depth
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.files import as_line
from rerank_producer.bulk.formats.parquet.assembly import assemble
from rerank_producer.bulk.formats.parquet.groups import Group, chunks
from rerank_producer.bulk.formats.parquet.layout import Layout
from rerank_producer.bulk.formats.rows import Answered, ReadOptions, Row, RowChunk, WriteOptions
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, parse_request
from rerank_shared.errors import InputRefused, InvalidRequest, RerankError

#: Pairs after which a chunk ends with its query.
CHUNK_PAIRS = 1_024


@dataclass(frozen=True, slots=True)
class _Results:
    """What is written beside the documents of a query, in the order of the input."""

    scores: list[float | None]
    ranks: list[int | None]
    error: str | None = None


class ParquetFormat:
    """Parquet, in and out."""

    name = "parquet"
    appends = False
    chunk_pairs = CHUNK_PAIRS

    def __init__(
        self, path: Path | None, options: ReadOptions, write: WriteOptions, columns: Mapping[str, str] | None = None
    ) -> None:
        if path is None:
            raise InputRefused("standard input: a Parquet file is read from its end, so give a file")
        self._path, self._options, self._write, self._named = path, options, write, columns or {}

    @cached_property
    def _layout(self) -> Layout:
        with opened(self._path) as file:
            return Layout.of(self._path, file.schema_arrow, self._named)

    @cached_property
    def _output_schema(self) -> Any:
        return self._layout.output_schema(score_only=self._write.score_only)

    def inputs(self) -> Mapping[str, Path | None]:
        """Return the one file that is read."""
        return {"input": self._path}

    def input_bytes(self) -> int | None:
        """Return the number of rows, which positions count here."""
        with opened(self._path) as file:
            return int(file.metadata.num_rows)

    def survey(self) -> int | None:
        """Return the number of queries of a file of lists; None for pairs. Raises InputRefused for other columns."""
        return self.input_bytes() if self._layout.lists else None

    def read(self, start: Position) -> Iterator[RowChunk]:
        """Yield the chunks from `start` on, a row for each query. Raises InputRefused, OSError, ConfigurationError."""
        for chunk in chunks(self._layout, start, self.chunk_pairs):
            yield RowChunk(chunk.start, chunk.end, chunk.digest, tuple(map(self._row, chunk.groups)))

    def _row(self, group: Group) -> Row:
        defaults = self._options.defaults
        try:
            request = self._request(group, defaults)
        except InvalidRequest as error:
            return Row(group.first + 1, b"", None, error, group)
        return Row(group.first + 1, b"", to_depth(request, self._options.depth), context=group)

    def _request(self, group: Group, defaults: Mapping[str, Any]) -> RerankRequest:
        """Return the request of a group. Raises InvalidRequest."""
        queries = list(dict.fromkeys(group.batch.column(self._layout.query).to_pylist()))
        if len(queries) > 1:
            raise InvalidRequest(f"{self._layout.query}: rows with one {self._layout.query_id} have different queries")
        if queries[0] is None:
            raise InvalidRequest(f"{self._layout.query}: it is null; a text expected")
        texts = self._texts(group)
        scores = self._scores(group, len(texts))
        return parse_request(queries[0], texts, **defaults, **({} if scores is None else {"scores": scores}))

    def _texts(self, group: Group) -> list[str]:
        """Return the texts of a group. Raises InvalidRequest where one is null."""
        texts = self._listed(group, self._layout.documents)
        if texts is None:
            raise InvalidRequest(f"{self._layout.documents}: it is null; a list of texts expected")
        if None in texts:
            raise InvalidRequest(f"{self._layout.documents}: a text is null, the one of index {texts.index(None)}")
        return texts

    def _scores(self, group: Group, count: int) -> list[float | None] | None:
        """Return the first-stage scores of a group; None where it has none. Raises InvalidRequest."""
        name = self._layout.scores
        given = None if name is None else self._listed(group, name)
        if given is None:
            return None
        if len(given) != count:
            raise InvalidRequest(f"{name}: {len(given)} for {count} documents; one for each expected")
        # pandas has NaN for what is missing.
        return [None if score is None or math.isnan(score) else float(score) for score in given]

    def _listed(self, group: Group, name: str) -> list[Any] | None:
        """Return the values of a column, one a document."""
        values: list[Any] = group.batch.column(name).to_pylist()
        return values[0] if self._layout.lists else values

    def write(self, answered: Sequence[Answered], *, first: bool) -> bytes:
        """Return the rows as messages of an Arrow stream, behind its schema where they are the first."""
        head = self._output_schema.serialize().to_pybytes() if first else b""
        if not answered:
            return head
        pa = arrow(self._path)
        results = [self._results(each) for each in answered]
        table = pa.Table.from_batches([each.row.context.batch for each in answered], self._layout.schema)
        for field, values in zip(list(self._output_schema)[-3:], self._columns(answered, results), strict=True):
            table = table.append_column(field, pa.array(values, field.type))
        if self._write.top_n is not None and not self._layout.lists:
            table = table.filter(pa.array(self._kept(results)))
        batches = table.select(self._output_schema.names).combine_chunks().to_batches()
        return head + b"".join(batch.serialize().to_pybytes() for batch in batches)

    def _results(self, each: Answered) -> _Results:
        group: Group = each.row.context
        if isinstance(each.answer, RerankError):
            count = 1 if self._layout.lists else int(group.batch.num_rows)
            return _Results([None] * count, [None] * count, f"{each.answer.code}: {each.answer.message}")
        return _ranked(each.answer, len(self._listed(group, self._layout.documents) or ()))

    def _columns(self, answered: Sequence[Answered], results: Sequence[_Results]) -> tuple[list[Any], ...]:
        """Return the values of the three columns of results."""
        if not self._layout.lists:
            errors = [each.error for each in results for _ in each.scores]
            scores, ranks = ([value for each in results for value in values(each)] for values in (_scores, _ranks))
            return scores, ranks, errors
        lists = [(None, None) if each.error is not None else (each.scores, each.ranks) for each in results]
        return [score for score, _ in lists], [rank for _, rank in lists], [each.error for each in results]

    def _kept(self, results: Sequence[_Results]) -> list[bool]:
        most = self._write.top_n or 0
        return [rank is None or rank <= most for each in results for rank in each.ranks]

    def write_failed(self, answered: Sequence[Answered]) -> bytes:
        """Return a line of JSON for each query that failed, with its query and its documents."""
        failed = [(each.row, each.answer) for each in answered if isinstance(each.answer, RerankError)]
        return b"".join(self._failed(row, error) for row, error in failed)

    def _failed(self, row: Row, error: RerankError) -> bytes:
        group: Group = row.context
        said = {
            "query": group.batch.column(self._layout.query).to_pylist()[0],
            "documents": self._listed(group, self._layout.documents),
        }
        told = {"code": error.code, "message": error.message}
        return as_line({"line": row.number, "rows": int(group.batch.num_rows), "error": told, "input": said})

    def assemble(self, part: Path, target: Path) -> None:
        """Write the Parquet file of all rows, and remove what it was made of. Raises OSError."""
        assemble(part, target, lambda: self._output_schema)


def _scores(results: _Results) -> list[float | None]:
    return results.scores


def _ranks(results: _Results) -> list[int | None]:
    return results.ranks


def _ranked(answer: RerankResponse, count: int) -> _Results:
    """Return scores and ranks of `count` documents; those that were not asked for stand behind, without a score."""
    results = _Results([None] * count, list(range(1, count + 1)))
    for rank, result in enumerate(answer.results, start=1):
        results.scores[result.index], results.ranks[result.index] = order_score(result), rank
    return results
