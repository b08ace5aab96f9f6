"""How well a shortened model follows the whole one, as tables: every figure beside its bound."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rerank_shared.models.manifest import Shortened


def shortened_report(shortened: Shortened) -> RenderableType:
    """Return the figures of a shortened model against the whole one, both in fp32."""
    parts: list[RenderableType] = [_depths(shortened)]
    if shortened.made_queries:
        queries = shortened.queries + shortened.measured_lists
        parts.append(Text(f"{shortened.made_queries} of {queries} queries were made of the corpus.", style="dim"))
    if shortened.collections:
        parts.append(_collections(shortened))
    return Group(*parts)


def _depths(shortened: Shortened) -> Table:
    """Return the table of every depth, with the one that was kept marked; they all come of the same runs."""
    bounds = shortened.bounds
    lists = f"{shortened.measured_lists} lists of other queries, {shortened.measured_pairs:,} pairs"
    headings = ("layers", "correlation", "its best ten", "")
    table = Table(*headings, box=SIMPLE_HEAD, title=f"Against the whole model, in {lists}")
    for kept, found in shortened.by_depth.items():
        style = "bold" if kept == shortened.kept else "dim"
        mark = "kept" if kept == shortened.kept else ""
        table.add_row(str(kept), f"{found.correlation:.3f}", f"{found.overlap_at_10:.3f}", mark, style=style)
    table.add_section()
    table.add_row("at least", f"{bounds.min_correlation:g}", f"{bounds.min_overlap_at_10:g}", "")
    return table


def _collections(shortened: Shortened) -> Table:
    headings = ("nDCG@10 on", "queries", "all layers", "shortened", "all, fused", "shortened, fused")
    table = Table(*headings, box=SIMPLE_HEAD, caption="Fused: BM25's score counts as much as the model's.")
    for each in shortened.collections:
        figures = (each.ndcg_10_whole, each.ndcg_10, each.ndcg_10_whole_fused, each.ndcg_10_fused)
        table.add_row(each.name, str(each.queries), *(f"{figure:.4f}" for figure in figures))
    return table
