"""Drift between two models' scores, and the file of queries that it is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rerank_ops.rollout.drift import drift_of, read_sample
from rerank_shared.errors import ConfigurationError


def test_equal_scores_have_no_drift() -> None:
    scores = np.array([0.9, 0.5, 0.1])
    found = drift_of([(scores, scores)])
    assert (found.mean, found.p99, found.pairs) == (0.0, 0.0, 3)
    assert found.spearman == pytest.approx(1.0)


def test_differences_are_absolute_and_ranks_are_compared_within_a_query() -> None:
    one, other = np.array([0.9, 0.5, 0.1]), np.array([0.1, 0.5, 0.9])
    found = drift_of([(one, other), (one, one)])
    assert found.mean == pytest.approx(1.6 / 6)
    assert found.p99 == pytest.approx(0.8)
    assert found.spearman == pytest.approx(0.0)
    assert "Spearman 0.0000 (2 queries, 6 pairs)" in str(found)


def test_a_sample_has_a_query_and_documents_a_line(tmp_path: Path) -> None:
    file = tmp_path / "sample.jsonl"
    file.write_text('{"query": "q", "documents": ["a", "b"], "id": 7}\n\n{"query": "r", "documents": ["c", "d"]}\n')
    assert [each.query for each in read_sample(file)] == ["q", "r"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no query"),
        ('{"query": "q", "documents": ["a", "b"]}\n{"query": "q"}', "line 2: documents"),
        ('{"query": "q", "documents": ["a"]}', "line 1: documents"),
        ("nonsense", "line 1: line"),
    ],
)
def test_a_wrong_sample_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "sample.jsonl"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        read_sample(file)
