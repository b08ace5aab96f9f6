"""Recorded requests are read as they are described, and a wrong line is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_ops.simulate.arrivals import recorded
from rerank_ops.simulate.model.workload import Mix, Request
from rerank_shared.errors import InvalidRequest


def test_recorded_requests_are_read(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"at_s": 12.5, "tokens": [80, 1000], "class": "bulk", "tenant": "a", "query": "q"}\n\n'
        '{"at_s": 11, "k": 3, "deadline_ms": 300, "query": "q"}\n'
        '{"at_s": 13, "k": 2, "tokens": 40.0}\n'
    )
    first, second, third = recorded(path, Mix(spread=0.0, noise=0.0), 1)
    assert first == Request(0.0, (100, 100, 100), 0.3, query=0)
    assert second == Request(1.5, (80, 512), 3600.0, "bulk", "a", query=0)
    assert third == Request(2.0, (40, 40), 30.0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"k": 3}', "line 1: at_s: Field required"),
        ('{"at_s": 1}', "line 1: give k, or tokens as a list"),
        ('{"at_s": 1, "tokens": []}', "line 1: tokens: at least one pair"),
        ('{"at_s": 1, "k": 0}', "line 1: k: "),
        ('{"at_s": 1, "k": 1, "kind": 2}', "line 1: kind: "),
        ('{"at_s": 1, "k": 1, "tokens": -4}', "line 1: tokens"),
        ("nonsense", "line 1: line: "),
        ("", "no requests in it"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(line)
    with pytest.raises(InvalidRequest, match=told):
        recorded(path, Mix(), 1)
