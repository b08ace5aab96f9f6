"""The rows of a batch: on the terms of its key, and at its pace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.batches.driving import jsonl, line, lines
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.rows import Row
from rerank_producer.gateway.batches.records import Terms
from rerank_producer.gateway.batches.rows import BatchRows, expired_lines
from rerank_producer.gateway.batches.stopping import Stop, Stopped
from rerank_shared.settings import load_settings

TERMS = Terms(tenant="shop", cache_scope="tenant", line_bytes=1_000_000)


def rows_of(
    path: Path, records: list[dict[str, Any]], terms: Terms = TERMS, paced: list[int] | None = None, **settings: Any
) -> list[Row]:
    path.write_bytes(jsonl(records))
    pace = [] if paced is None else paced
    rows = BatchRows(path, terms, load_settings(**settings), 512, pace.append)
    return [row for chunk in rows.read(Position()) for row in chunk.rows]


def scored(**body: Any) -> dict[str, Any]:
    return line("a", "q", url="/v2/rerank", scores=[1.0, 2.0, 3.0], **body)


def test_a_request_is_its_tenant_s_and_of_the_batch_s_model(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "in", [line("a", "q", model="jina-reranker-v2")])
    assert row.request is not None
    assert (row.request.tenant, row.request.cache_scope, row.request.model) == ("shop", "tenant", None)


def test_the_lines_of_a_key_have_so_many_documents(tmp_path: Path) -> None:
    terms = TERMS.model_copy(update={"max_documents": 3})
    small, large = rows_of(tmp_path / "in", [line("a", "q", documents=3), line("b", "q", documents=4)], terms)
    assert small.error is None
    assert large.request is None
    assert large.error is not None
    assert "4 were sent, and 3 a request are the limit" in large.error.message
    (refused,) = rows_of(tmp_path / "in", [line("a", "q", documents=3)], max_documents=2)
    assert refused.error is not None


@pytest.mark.parametrize(
    ("body", "key", "fleet", "used"),
    [
        ({}, None, "none", "none"),
        ({}, None, "rrf", "rrf"),
        ({}, "zscore", "rrf", "zscore"),
        ({"fusion": "none"}, "zscore", "rrf", "none"),
        ({"fusion": "weighted", "fusion_ratio": 0.5}, None, "none", "weighted"),
        # A ratio that is learned would not be the same each time.
        ({}, "weighted", "none", "zscore"),
        ({}, None, "weighted", "zscore"),
    ],
)
def test_fusion_is_the_line_s_else_the_key_s_else_the_fleet_s(
    tmp_path: Path, body: dict[str, Any], key: Any, fleet: str, used: str
) -> None:
    terms = TERMS.model_copy(update={"fusion": key, "fusion_weight": 0.25})
    (row,) = rows_of(tmp_path / "in", [scored(**body)], terms, fusion=fleet)
    assert row.request is not None
    assert (row.request.fusion, row.request.fusion_weight) == (used, 0.25)


def test_a_line_that_would_have_a_ratio_learned_is_refused(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "in", [scored(fusion="weighted")])
    assert row.error is not None
    assert row.error.message.startswith("fusion_ratio: is missing")


def test_scores_do_not_count_where_there_are_none(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "in", [line("a", "q")], fusion="rrf")
    assert row.request is not None
    assert row.request.fusion == "none"


def test_each_chunk_is_paced_by_its_tokens(tmp_path: Path) -> None:
    paced: list[int] = []
    rows = rows_of(tmp_path / "in", lines(300), paced=paced)
    assert len(rows) == 300
    assert len(paced) > 2
    assert min(paced) > 0


def test_what_no_time_was_left_for_is_told_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(jsonl(lines(2)) + b"\n" + jsonl([line("last", "q")]))
    first = len(jsonl(lines(1)))
    told = [json.loads(each) for each in expired_lines(path, Position(0, first, 1))]
    assert [each["custom_id"] for each in told] == ["q1", "last"]
    assert {each["error"]["code"] for each in told} == {"batch_expired"}
    assert len({each["id"] for each in told}) == 2


def test_a_thread_that_waits_is_stopped() -> None:
    stop = Stop()
    stop.say()
    with pytest.raises(Stopped):
        stop.wait(60)

    async def never() -> None:
        raise AssertionError

    with pytest.raises(Stopped):
        stop.run(never())
