"""Spark: `RerankPartitions`, the function for `mapInPandas`, and the schema of what it returns.

    rerank = RerankPartitions(query_id="query_id", redis_url="redis://fleet:6379/0")
    grouped = df.repartition(64, "query_id").sortWithinPartitions("query_id")
    reranked = grouped.mapInPandas(rerank, rerank.schema(df.schema))
    reranked.write.parquet("reranked/")

`repartition` puts the rows of a query into one partition, and `sortWithinPartitions` next to each other. Then a query
is ranked as a whole, whatever `spark.sql.execution.arrow.maxRecordsPerBatch` cuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rerank_producer.integrations._columns import ERROR, RANK, SCORE
from rerank_producer.integrations.frames import TableOptions, rerank_frames
from rerank_producer.integrations.options import missing

try:
    import pandas
    from pyspark.sql.types import ArrayType, DataType, DoubleType, LongType, StringType, StructType
except ImportError as error:
    raise missing("pyspark[sql]", None, error) from error


class RerankPartitions:
    """Reranks the rows of each partition, with one client for each task. Takes the options of TableOptions.

    Settings are read in the driver, and travel with the tasks. Rows of a query that follow each other are ranked
    together, even if Spark hands them over in several parts; so sort each partition by query. All columns stay.
    """

    #: Spark names the step after it.
    __name__ = "rerank"

    def __init__(self, **options: Any) -> None:
        """Raises ConfigurationError."""
        self._options = TableOptions(**options)

    def __call__(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Yield each frame with the columns of results. Raises FleetGone, with which Spark runs the task again."""
        options = self._options
        if options.documents is None:
            frames = whole_queries(frames, options.query_id or options.query)
        return rerank_frames(frames, options)

    def schema(self, of: StructType) -> StructType:
        """Return the schema of the result, of that of the input. Raises InvalidRequest for a column that is missing."""
        self._options.columns.check(of.names)
        listed = self._options.documents is not None
        types: dict[str, DataType] = {SCORE: DoubleType(), RANK: LongType()}
        schema = StructType(list(of.fields))
        for name, kind in types.items():
            schema.add(name, ArrayType(kind) if listed else kind)
        return schema.add(ERROR, StringType())


def whole_queries(frames: Iterable[Any], key: str) -> Iterator[Any]:
    """Yield the rows of frames in frames where no two neighbours hold rows of one query, if rows are sorted by `key`.

    The rows of the last query of each frame wait for the next one.
    """
    held: list[Any] = []
    for frame in frames:
        if frame.empty or key not in frame.columns:
            yield frame
            continue
        last = frame[key].iloc[-1]
        others = (frame[key] != last).to_numpy().nonzero()[0]
        first = others[-1] + 1 if len(others) else 0
        if held and (first or held[-1][key].iloc[-1] != last):
            yield _joined([*held, frame.iloc[:first]] if first else held)
            held = []
        elif first:
            yield frame.iloc[:first]
        # Null is no query, so that nothing waits for it.
        if first < len(frame):
            held.append(frame.iloc[first:])
    if held:
        yield _joined(held)


def _joined(frames: list[Any]) -> Any:
    frame = pandas.concat(frames, ignore_index=True)
    # Texts of pandas 3 stay in one piece for each frame, and Spark takes columns of one piece only.
    texts = [name for name, kind in frame.dtypes.items() if isinstance(kind, pandas.StringDtype)]
    return frame.astype(dict.fromkeys(texts, object))
