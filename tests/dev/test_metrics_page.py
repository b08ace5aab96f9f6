"""docs/metrics.md: its tables are what the code says, and its queries name metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rerank_dev.docs.marked import replace_part
from rerank_dev.docs.metrics_page import PART, Row, render, sections

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = [row for rows in sections().values() for row in rows]
SUFFIX = re.compile(r"_(bucket|sum|count)$")
#: Beside them only `le`, which Prometheus adds to histograms.
LABELS = {
    "activation", "cache", "class", "k", "max_length", "method", "model", "model_digest", "outcome", "precision",
    "pool", "reason", "result", "route", "shadow", "side", "stage", "state", "target", "tokenizer_digest", "truncation",
}  # fmt: skip


def test_the_tables_are_up_to_date() -> None:
    """If not: PYTHONPATH=ops/dev python -m rerank_dev.docs.metrics_page docs/metrics.md"""
    assert replace_part(PAGE, PART, render()) == PAGE


def test_no_two_metrics_have_one_name() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_metric_says_what_it_counts_under_known_labels(row: Row) -> None:
    assert row.text.endswith(".")
    assert set(row.labels) <= LABELS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"rerank_[a-z_]+", PAGE))))
def test_what_the_page_names_exists(name: str) -> None:
    assert {name, SUFFIX.sub("", name)} & {row.name for row in ROWS}
