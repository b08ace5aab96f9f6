"""Spark drives a real fleet: sorted partitions in small parts, lists, and a task that dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.jdk import java_home
from engines.page import run_blocks
from engines.pairs import LISTS, PAIRS, Expected
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings

pytest.importorskip("pyspark", reason="not installed here: `make test-engines`")
import pandas
from pyspark.sql import SparkSession

from rerank_producer.integrations.spark import RerankPartitions, whole_queries

pytestmark = [
    pytest.mark.engines,
    pytest.mark.integration,
    # A session starts in a minute on a slow machine.
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PAIR = "query_id string, query string, text string, row int"
LIST = "query_id string, query string, documents array<string>"


@pytest.fixture(scope="module")
def spark(fleet: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session that hands rows over three at a time, so that queries are cut, and tries a task twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(java_home(tmp_path_factory.mktemp("jdk"))))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        options = "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' pyspark-shell"
        patch.setenv("PYSPARK_SUBMIT_ARGS", options)
        session = (
            SparkSession.builder.master("local[2,2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "3")
            .getOrCreate()
        )
        yield session
        session.stop()


def rows(frame: Any) -> list[dict[str, Any]]:
    return [row.asDict() for row in frame.collect()]


def pairs(spark: SparkSession) -> Any:
    frame = spark.createDataFrame([tuple(row.values()) for row in PAIRS], PAIR)
    return frame.repartition(2, "query_id").sortWithinPartitions("query_id")


def test_sorted_partitions_as_the_page_says(spark: SparkSession, expected: Expected, files: Path) -> None:
    expected.check_pairs(rows(run_blocks("Spark", files)["reranked"]))


def test_lists(spark: SparkSession, expected: Expected) -> None:
    frame = spark.createDataFrame([tuple(row.values()) for row in LISTS], LIST)
    rerank = RerankPartitions(documents="documents")
    expected.check_lists(rows(frame.mapInPandas(rerank, rerank.schema(frame.schema))))


class Dies(RerankPartitions):
    """Its process ends behind the first part of its first partition."""

    def __init__(self, mark: str, **options: Any) -> None:
        super().__init__(**options)
        self._mark = Path(mark)

    def __call__(self, frames: Any) -> Iterator[Any]:
        for frame in super().__call__(frames):
            yield frame
            if not self._mark.exists():
                self._mark.touch()
                os._exit(1)


def test_a_task_that_died_runs_again_and_the_columns_are_the_same(
    spark: SparkSession, expected: Expected, tmp_path: Path
) -> None:
    rerank = Dies(str(tmp_path / "died"), query_id="query_id")
    frame = pairs(spark)
    expected.check_pairs(rows(frame.mapInPandas(rerank, rerank.schema(frame.schema))))
    assert (tmp_path / "died").exists()


def test_a_fleet_that_is_away_fails_the_job_when_patience_is_out(spark: SparkSession) -> None:
    rerank = RerankPartitions(redis_url="unix:///nowhere", patience_s=0.5)
    frame = pairs(spark)
    with pytest.raises(Exception, match=r"FleetGone: no answer for 0\.5 s"):
        frame.mapInPandas(rerank, rerank.schema(frame.schema)).collect()


def test_the_driver_tells_an_unknown_column_with_those_that_there_are(spark: SparkSession) -> None:
    with pytest.raises(InvalidRequest, match=r"^column 'passage': .*it has 'query_id', 'query', 'text', 'row'$"):
        RerankPartitions(text="passage").schema(pairs(spark).schema)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_parts_of_a_sorted_partition_are_cut_between_queries(size: int) -> None:
    keys = [None, "a", "a", "a", "a", "b", "c", "c", "c", "d"]
    frame = pandas.DataFrame({"key": keys, "row": range(len(keys))})
    parts = [frame.iloc[start : start + size] for start in range(0, len(keys), size)]
    parts.insert(1, frame.iloc[:0])
    cut = [part for part in whole_queries(iter(parts), "key") if len(part)]
    assert [row for part in cut for row in part["row"]] == list(range(len(keys)))
    held = [set(part["key"].dropna()) for part in cut]
    for number, one in enumerate(held):
        assert not one & set().union(*held[number + 1 :])
