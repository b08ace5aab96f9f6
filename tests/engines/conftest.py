"""One fleet of a real worker for all engines; the environment names it, since engines start processes of their own."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

# Before an engine is imported: none may report to its makers from a test.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
os.environ["DO_NOT_TRACK"] = "true"

from engines.pairs import LISTS, PAIRS, Expected
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import Settings, load_settings, to_environ
from support.fleet import TestFleet


@pytest.fixture(scope="session")
def running_fleet(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a fleet that serves all engines."""
    if not any(find_spec(name) for name in ("pandas", "polars", "daft", "ray", "pyspark")):
        pytest.skip("no engine is installed here: `make test-engines`")
    settings = load_settings(redis_url=server.url, namespace=f"engines-{uuid.uuid4().hex[:12]}")
    with TestFleet(settings, tmp_path_factory.mktemp("engines")) as fleet:
        fleet.start()
        yield settings


@pytest.fixture(scope="module")
def fleet(running_fleet: Settings) -> Iterator[Settings]:
    """The settings of a fleet, which the environment has too while a file of these tests runs, and no other test."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in to_environ(running_fleet).items():
            patch.setenv(name, value)
        # The functions of these tests are imported by the engines' own processes.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        yield running_fleet


@pytest.fixture(scope="session")
def expected(running_fleet: Settings) -> Expected:
    """The client's own answers."""
    return Expected.of(running_fleet)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with the files that docs/dataframes.md reads."""
    parquet.write_table(pyarrow.Table.from_pylist(PAIRS), tmp_path / "pairs.parquet")
    (tmp_path / "queries.parquet").mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(LISTS), tmp_path / "queries.parquet" / "0.parquet")
    return tmp_path
