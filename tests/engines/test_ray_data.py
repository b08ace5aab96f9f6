"""Ray Data drives a real fleet: in blocks and lists, with checkpoints, and with an actor that dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="not installed here: `make test-engines`")

import pyarrow
import ray.data
from pyarrow import parquet

from engines.page import run_blocks
from engines.pairs import LISTS, PAIRS, Expected
from rerank_producer.integrations.ray_data import RerankBatches
from rerank_shared.settings import Settings

pytestmark = [
    pytest.mark.engines,
    pytest.mark.integration,
    # A job is many processes, each of which starts in seconds where the machine is idle.
    pytest.mark.timeout(600),
    # Of Ray's own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore:The minimum number of concurrent actors:UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _ray(fleet: Settings) -> Iterator[None]:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=200 * 2**20, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _context() -> Iterator[None]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    yield
    context.checkpoint_config = None


def reranked(dataset: Any, cls: type = RerankBatches, **options: Any) -> Any:
    """Return a dataset whose blocks are reranked by one actor."""
    batch_format = options.pop("batch_format", "pyarrow")
    return dataset.map_batches(
        cls,
        fn_constructor_kwargs=options,
        compute=ray.data.ActorPoolStrategy(size=1),
        batch_format=batch_format,
        batch_size=None,
    )


def test_blocks_as_the_page_says(expected: Expected, files: Path) -> None:
    run_blocks("Ray Data", files, only=0)
    expected.check_pairs(parquet.read_table(files / "reranked").to_pylist())


@pytest.mark.parametrize("batch_format", ["pyarrow", "pandas", "numpy"])
def test_every_format_of_batches(batch_format: str, expected: Expected) -> None:
    dataset = ray.data.from_items(PAIRS).repartition(2, keys=["query_id"])
    expected.check_pairs(reranked(dataset, query_id="query_id", batch_format=batch_format).take_all())


class Logged(RerankBatches):
    """Notes the ids of the rows that it reranks."""

    def __init__(self, log: str, **options: Any) -> None:
        super().__init__(**options)
        self._log = log

    def __call__(self, batch: Any) -> Any:
        with open(self._log, "a", encoding="utf-8") as log:
            log.writelines(f"{query_id}\n" for query_id in batch["query_id"].to_pylist())
        return super().__call__(batch)


def test_a_job_with_checkpoints_reranks_what_is_not_done_yet(expected: Expected, files: Path) -> None:
    run_blocks("Ray Data", files, only=1)
    expected.check_lists(parquet.read_table(files / "reranked-queries").to_pylist())
    more = {**LISTS[0], "query_id": "more"}
    parquet.write_table(pyarrow.Table.from_pylist([more]), files / "queries.parquet" / "1.parquet")
    log = files / "log"
    dataset = ray.data.read_parquet(str(files / "queries.parquet"))
    reranked(dataset, Logged, log=str(log), documents="documents").write_parquet(str(files / "reranked-queries"))
    assert log.read_text().split() == ["more"]
    rows = parquet.read_table(files / "reranked-queries").to_pylist()
    expected.check_lists(row for row in rows if row["query_id"] != "more")
    assert {**more, **expected.of_list(LISTS[0]["query_id"])} in rows
    assert len(rows) == len(LISTS) + 1


class Dies(RerankBatches):
    """Its process ends behind its first batch, whose answer is lost."""

    def __init__(self, mark: str, **options: Any) -> None:
        super().__init__(**options)
        self._mark = Path(mark)

    def __call__(self, batch: Any) -> Any:
        answer = super().__call__(batch)
        if not self._mark.exists():
            self._mark.touch()
            os._exit(1)
        return answer


def test_an_actor_that_died_is_started_again_and_the_columns_are_the_same(expected: Expected, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    dataset = ray.data.from_items(PAIRS).repartition(1, keys=["query_id"])
    expected.check_pairs(reranked(dataset, Dies, mark=str(mark), query_id="query_id").take_all())
    assert mark.exists()


def test_an_unknown_column_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Exception, match="column 'passage': the table has none of this name; it has 'query_id'") as told:
        reranked(ray.data.from_items(PAIRS), text="passage").take_all()
    assert isinstance(told.value, ray.exceptions.RayTaskError)


def test_a_fleet_that_is_away_fails_the_job_when_patience_is_out() -> None:
    with pytest.raises(Exception, match=r"no answer for 0\.5 s: Redis at unix:///nowhere can't be reached"):
        reranked(ray.data.from_items(PAIRS), redis_url="unix:///nowhere", patience_s=0.5).take_all()
