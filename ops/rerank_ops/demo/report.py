"""Report of the demo: some questions before and after reranking, quality, speed, batches. All measured in this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rerank_ops.demo.passes import Pass, TaskResult
from rerank_ops.judging.measures import Quality

_SHOWN_RANKS = 5
_WIDTH = 92


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches that the workers formed, by their own metrics."""

    count: int
    pairs: float
    tokens: float
    largest_bucket: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All measurements of a run."""

    processes: int
    in_flight: int
    passages: int
    before: Quality
    after: Quality
    fused: Quality
    cold: Pass
    hot: Pass
    batches: Batches
    examples: Sequence[TaskResult]


def show(console: Console, result: DemoResult) -> None:
    """Print the whole report."""
    for answer in result.examples:
        console.print(_example(answer), width=min(console.width, _WIDTH))
    answerable = sum(_is_answerable(answer) for answer in result.cold.answers)
    console.print(
        f"BM25's candidates hold an answer to {answerable} of the {len(result.cold.answers)} questions; "
        "no order of them can answer the others.\n",
        highlight=False,
    )
    console.print(_quality(result))
    console.print(
        "Fused: BM25's score counts as much as the model's (fusion='weighted'); it takes no model time. Changes are "
        "those to BM25.\n",
        highlight=False,
    )
    console.print(_speed(result))
    b = result.batches
    console.print(
        f"Batches formed: {b.count:,}, on average {b.pairs / b.count:.1f} pairs and {b.tokens / b.count:,.0f} tokens; "
        f"none over {b.largest_bucket:g} pairs.\n",
        highlight=False,
    )


def _is_answerable(answer: TaskResult) -> bool:
    return not {candidate.id for candidate in answer.task.candidates}.isdisjoint(answer.task.question.answers)


def _example(answer: TaskResult) -> Table:
    right = set(answer.task.question.answers)
    before = [candidate.id for candidate in answer.task.candidates]
    table = Table(
        title=f"“{answer.task.question.text}”", title_justify="left", title_style="bold", expand=True, box=SIMPLE_HEAD
    )
    table.add_column("", width=1)
    table.add_column("BM25", no_wrap=True, ratio=1)
    table.add_column("reranked", no_wrap=True, ratio=1)
    table.add_column("was", width=4)
    table.add_column("score", width=5)
    for rank, result in enumerate(answer.response.results[:_SHOWN_RANKS], start=1):
        was = before.index(result.id or "") + 1
        moved = "=" if was == rank else f"{'↑' if was > rank else '↓'} {was}"
        score = f"{result.relevance_score or 0.0:.3f}"
        table.add_row(str(rank), _mark(before[rank - 1], right), _mark(result.id or "", right), moved, score)
    return table


def _mark(passage_id: str, right: set[str]) -> Text:
    return Text(f"✓ {passage_id}", style="bold green") if passage_id in right else Text(f"  {passage_id}")


def _quality(result: DemoResult) -> Table:
    questions = len(result.cold.answers)
    title = f"Quality, {questions} questions over {result.passages:,} passages"
    heads = ("", "BM25", "reranked", "change", "fused", "change")
    table = Table(*heads, title=title, min_width=len(title), box=SIMPLE_HEAD)
    for name, label in (("ndcg_at_10", "nDCG@10"), ("mrr_at_10", "MRR@10")):
        before, after, fused = (getattr(each, name) for each in (result.before, result.after, result.fused))
        changes = (f"{after:.3f}", f"{after - before:+.3f}", f"{fused:.3f}", f"{fused - before:+.3f}")
        table.add_row(label, f"{before:.3f}", *changes)
    return table


def _speed(result: DemoResult) -> Table:
    title = f"Speed with {result.processes} worker processes, {result.in_flight} requests in flight"
    table = Table("", "every pair scored", "again, from the cache", title=title, box=SIMPLE_HEAD)
    rows: list[tuple[str, Any]] = [
        ("requests/s", lambda p: f"{p.requests_per_s:,.1f}"),
        ("pairs/s", lambda p: f"{p.pairs_per_s:,.0f}"),
        ("p50 ms", lambda p: f"{p.latency_ms(50):,.1f}"),
        ("p95 ms", lambda p: f"{p.latency_ms(95):,.1f}"),
        ("p99 ms", lambda p: f"{p.latency_ms(99):,.1f}"),
        ("cache hit rate", lambda p: f"{p.hit_rate:.1%}"),
        ("wall seconds", lambda p: f"{p.seconds:,.2f}"),
    ]
    for label, cell in rows:
        table.add_row(label, cell(result.cold), cell(result.hot))
    return table
