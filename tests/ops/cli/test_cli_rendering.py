"""Answers and statistics as people see them."""

from __future__ import annotations

import pytest
from rich.console import Console

from rerank_ops.cli.admin.cache import stats_rows
from rerank_ops.cli.rank.ranking import ranking_table, score_text, summary
from rerank_shared.cache import CacheStats
from rerank_shared.contract.schemas import Document, FusionInfo, ModelInfo, RerankResponse, Result, Timings, Usage


def response(*results: Result) -> RerankResponse:
    return RerankResponse(
        id="1",
        results=list(results),
        complete=all(result.scored for result in results),
        model=ModelInfo(name="a/model"),
        timings=Timings(total_ms=12.4),
        usage=Usage(tokens=30, pairs_run=1, pairs_cached=1),
    )


def rendered(answer: RerankResponse, documents: list[Document], width: int = 60) -> list[str]:
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(ranking_table(answer, documents))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_ranking_has_one_line_a_document_however_long_it_is() -> None:
    documents = [Document(text="short"), Document(text="word \n\t" * 500, id="a"), Document(text="last")]
    answer = response(
        Result(index=1, id="a", relevance_score=0.91234, truncated=True),
        Result(index=0, relevance_score=0.00001, cached=True),
        Result(index=2, scored=False),
    )
    lines = rendered(answer, documents)
    assert lines[0].split() == ["#", "score", "moved", "id", "document"]
    assert lines[1].startswith("1  0.9123  ↑1     a   word word")
    assert lines[1].endswith("…  truncated")
    assert lines[2].split() == ["2", "1e-05", "↓1", "short", "cached"]
    assert lines[3].split() == ["3", "-", "=", "last", "unscored"]
    assert max(map(len, lines)) == 60
    assert len(lines) == 4
    assert summary(answer) == "1 scored, 1 cached, 1 unscored in 12 ms by a/model"


@pytest.mark.parametrize(
    ("fusion", "told"),
    [
        (FusionInfo(method="zscore", applied="zscore", weight=1.0, ratio=0.51234), "zscore, weight 1, ratio 0.5123"),
        (FusionInfo(method="rrf", applied="rrf", weight=0.5), "rrf, weight 0.5"),
        (
            FusionInfo(method="weighted", applied="zscore", weight=1.0, ratio=0.5, learned_requests=3),
            "zscore, weight 1, ratio 0.5 (weighted has learned from 3 of 30 requests)",
        ),
    ],
)
def test_a_fused_ranking_shows_its_three_scores_and_how_they_were_fused(fusion: FusionInfo, told: str) -> None:
    answer = response(
        Result(index=1, relevance_score=0.5, fused_score=1.25, first_stage_score=7.5),
        Result(index=0, relevance_score=0.75, fused_score=-0.5),
    )
    answer.fusion = fusion
    header, first, last = rendered(answer, [Document(text="one"), Document(text="two")], width=80)
    assert header.split() == ["#", "fused", "score", "first", "stage", "moved", "document"]
    assert first.split() == ["1", "1.2500", "0.5000", "7.5000", "↑1", "two"]
    assert last.split() == ["2", "-0.5000", "0.7500", "-", "↓1", "one"]
    assert summary(answer) == f"1 scored, 1 cached in 12 ms by a/model; fused by {told}"


def test_a_document_without_text_shows_how_long_it_is() -> None:
    lines = rendered(response(Result(index=0, relevance_score=0.5)), [Document(token_ids=(7, 8, 9))])
    assert lines[1].endswith("(3 token ids)")


def test_a_document_cannot_command_the_terminal() -> None:
    lines = rendered(response(Result(index=0, relevance_score=0.5)), [Document(text="a\x1b[31mb\x07\x9bc [red]d")])
    assert lines[1].endswith("a�[31mb��c [red]d")


def test_scores_show_what_they_are_worth() -> None:
    shown = [score_text(score) for score in (1.0, 0.00005, 0.000049, 0.0, -3.5, None)]
    assert shown == ["1.0000", "0.0001", "5e-05", "0.0000", "-3.5000", "-"]


def test_cache_statistics_are_rounded_for_people() -> None:
    rows = dict(stats_rows(CacheStats(scores=1_234_567, bytes_per_score=120.4, hits=3, misses=1)))
    assert rows["scores"] == "1,234,567"
    assert rows["memory"] == "about 148.6 MB, 120 bytes a score"
    assert rows["hit rate"] == "75.0%"
    assert dict(stats_rows(CacheStats(0, 0.0, 0, 0)))["hit rate"] == "no look-ups yet"
