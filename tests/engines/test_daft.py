"""Daft drives a real fleet."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("daft", reason="not installed here: `make test-engines`")

import daft

from engines.page import run_blocks
from engines.pairs import PAIRS, Expected
from rerank_producer.integrations.daft import rerank_columns
from rerank_shared.errors import ConfigurationError, InvalidRequest
from rerank_shared.settings import Settings

pytestmark = [pytest.mark.engines, pytest.mark.integration]


def test_lists_as_the_page_says(fleet: Settings, expected: Expected, files: Path) -> None:
    expected.check_lists(run_blocks("Daft", files)["reranked"].to_pylist())


def test_pairs(fleet: Settings, expected: Expected) -> None:
    col = daft.col
    frame = daft.from_pylist(PAIRS)
    columns = rerank_columns(col("query"), col("text"), query_id=col("query_id"))
    expected.check_pairs(frame.select("*", columns).to_pylist())


def test_first_stage_scores_count(fleet: Settings, expected: Expected) -> None:
    col = daft.col
    frame = daft.from_pylist([{**row, "score": float(row["row"])} for row in PAIRS if row["row"] < 100])
    columns = rerank_columns(col("query"), col("text"), score=col("score"), fusion="zscore", fusion_weight=100.0)
    rows = sorted(frame.select("*", columns).to_pylist(), key=lambda row: (row["query"], row["rerank_rank"]))
    assert [row["rerank_rank"] for row in rows] == [1, 2, 3, 4] * 3
    for first, second in pairwise(rows):
        assert first["query"] != second["query"] or first["score"] > second["score"]


@pytest.mark.parametrize("given", [{}, {"text": "text", "documents": "documents"}])
def test_either_shape_is_wanted(given: dict[str, str]) -> None:
    columns: dict[str, Any] = {name: daft.col(column) for name, column in given.items()}
    with pytest.raises(InvalidRequest, match=r"^text, documents: either expected"):
        rerank_columns(daft.col("query"), **columns)


def test_wrong_options_are_told_where_the_expression_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"^fusion_ratio: "):
        rerank_columns(daft.col("query"), daft.col("text"), score=daft.col("score"), fusion="weighted")
