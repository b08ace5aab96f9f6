"""docs/dataframes.md: every block of code belongs to a test, and the versions that are tested are those it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.page import blocks, run_blocks
from engines.pairs import QUERIES
from rerank_shared.settings import Settings

#: Sections whose blocks are run in the file of their engine.
IN_FILES = {"Ray Data": "test_ray_data.py", "Spark": "test_spark.py", "Daft": "test_daft.py"}
HERE = Path(__file__).parent


def test_every_block_is_run() -> None:
    assert list(blocks()) == ["pandas and Polars", *IN_FILES]
    for title, file in IN_FILES.items():
        assert f'run_blocks("{title}", files' in (HERE / file).read_text(encoding="utf-8")


@pytest.mark.engines
@pytest.mark.integration
def test_pandas_and_polars(fleet: Settings, files: Path) -> None:
    pytest.importorskip("polars", reason="not installed here: `make test-engines`")
    made = run_blocks("pandas and Polars", files)
    best = {row["query_id"]: row["text"] for row in made["best"].iter_rows(named=True)}
    assert set(best) == set(QUERIES)
    assert best["bread"] == "Bread is baked from flour and water."
