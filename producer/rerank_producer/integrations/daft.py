"""Daft: `rerank_columns`, an expression that adds the three columns of results.

    df = daft.read_parquet("queries/").select("*", rerank_columns(col("query"), documents=col("documents")))

Daft cuts batches without regard to queries, so a row is best a query with the list of its texts. Where a batch surely
holds each query whole, the pairs of `text` may stand in rows of their own.
"""

from __future__ import annotations

from typing import Any

from rerank_producer.integrations._columns import ERROR, RANK, RESULTS, SCORE
from rerank_producer.integrations.frames import TableOptions, rerank_frames
from rerank_producer.integrations.options import missing
from rerank_shared.errors import InvalidRequest

try:
    from daft import DataType, Expression, Series, func
except ImportError as error:
    raise missing("daft", None, error) from error

_COLUMNS = ("query", "text", "documents", "query_id", "score")


def rerank_columns(
    query: Expression,
    text: Expression | None = None,
    *,
    documents: Expression | None = None,
    query_id: Expression | None = None,
    score: Expression | None = None,
    **options: Any,
) -> Expression:
    """Return the columns `rerank_score`, `rerank_rank` and `rerank_error` for queries and their texts.

    Give either `text` or `documents`, a column of lists. Expressions take the place of the column names in the options
    of TableOptions; the others are the same. Settings are read here, and travel with the expression.

    Raises InvalidRequest, ConfigurationError; the job FleetGone.
    """
    if (text is None) == (documents is None):
        raise InvalidRequest("text, documents: either expected; text has one text a row, documents a list")
    given = dict(zip(_COLUMNS, (query, text, documents, query_id, score), strict=True))
    columns = {name: expression for name, expression in given.items() if expression is not None}
    names = {name: name if name in columns else None for name in ("documents", "query_id", "score")}
    chosen = TableOptions(**names, **options)
    score_type, rank_type = DataType.float64(), DataType.int64()
    if documents is not None:
        score_type, rank_type = DataType.list(score_type), DataType.list(rank_type)
    result = DataType.struct({SCORE: score_type, RANK: rank_type, ERROR: DataType.string()})

    @func.batch(return_dtype=result, unnest=True)
    def rerank(*series: Series) -> list[dict[str, Any]]:
        table = {name: values.to_pylist() for name, values in zip(columns, series, strict=True)}
        (reranked,) = rerank_frames([table], chosen)
        return [dict(zip(RESULTS, row, strict=True)) for row in zip(*(reranked[name] for name in RESULTS), strict=True)]

    expression: Expression = rerank(*columns.values())
    return expression
