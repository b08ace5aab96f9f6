"""Ranking table of a response: rank, scores, change of rank, and the start of each document's text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from rerank_ops.cli.console import one_line
from rerank_shared.contract.schemas import Document, FusionInfo, RerankResponse, Result
from rerank_shared.deviations import TRUSTED_REQUESTS

#: Smallest score that four decimals can show.
_SMALLEST_FIXED = 0.00005


def ranking_table(response: RerankResponse, documents: Sequence[Document]) -> Table:
    """Return the results, best first, with the text of the documents that they rank.

    `score` is the model's. Where first-stage scores count, `fused` is the score that gives the order.
    """
    fused = response.fusion is not None
    with_ids = any(result.id for result in response.results)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    # Only columns that may wrap shrink in a narrow terminal: here the last but one.
    table.add_column("#", justify="right", no_wrap=True)
    for name in ("fused", "score", "first stage") if fused else ("score",):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("moved", no_wrap=True)
    if with_ids:
        table.add_column("id", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("document")
    table.add_column("", no_wrap=True)
    for rank, result in enumerate(response.results):
        text = one_line(_shown(documents[result.index]))
        scores = [result.relevance_score]
        if fused:
            scores = [result.fused_score, result.relevance_score, result.first_stage_score]
        cells = [Text(str(rank + 1)), *(Text(score_text(score)) for score in scores), moved(result.index, rank)]
        cells += [Text(one_line(result.id or ""))] if with_ids else []
        cells += [Text(text, no_wrap=True, overflow="ellipsis"), Text(" ".join(marks(result)), style="dim")]
        table.add_row(*cells)
    return table


def summary(response: RerankResponse) -> str:
    """Return one line: the numbers of scored, cached and unscored pairs, the time, the model, and the fusion."""
    usage, timings = response.usage, response.timings
    parts = [f"{usage.pairs_run} scored"]
    if usage.pairs_cached:
        parts.append(f"{usage.pairs_cached} cached")
    if unscored := sum(not result.scored for result in response.results):
        parts.append(f"{unscored} unscored")
    fused = "" if response.fusion is None else f"; {fusion_text(response.fusion)}"
    return f"{', '.join(parts)} in {timings.total_ms:.0f} ms by {response.model.name}{fused}"


def fusion_text(fusion: FusionInfo) -> str:
    """Return the method that was applied, its weight and ratio, and why it is not the one that was asked for."""
    ratio = "" if fusion.ratio is None else f", ratio {fusion.ratio:.4g}"
    told = f"fused by {fusion.applied}, weight {fusion.weight:g}{ratio}"
    if fusion.applied == fusion.method:
        return told
    return f"{told} ({fusion.method} has learned from {fusion.learned_requests or 0} of {TRUSTED_REQUESTS} requests)"


def score_text(score: float | None) -> str:
    """Return a score in four decimals, a tiny one as a power of ten."""
    if score is None:
        return "-"
    return f"{score:.4f}" if score == 0 or abs(score) >= _SMALLEST_FIXED else f"{score:.0e}"


def moved(index: int, rank: int) -> Text:
    """Return the number of places that a document moved up or down from its first-stage rank."""
    if index == rank:
        return Text("=", style="dim")
    return Text(f"↑{index - rank}", style="green") if index > rank else Text(f"↓{rank - index}", style="red")


def marks(result: Result) -> list[str]:
    """Return the marks of a result that hold: unscored, cached, truncated."""
    marked = {"unscored": not result.scored, "cached": result.cached, "truncated": result.truncated}
    return [name for name, holds in marked.items() if holds]


def _shown(document: Document) -> str:
    return document.text if document.text is not None else f"({len(document.token_ids or ())} token ids)"
