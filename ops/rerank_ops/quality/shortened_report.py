"""How well a shortened model follows the whole one, and what every depth is worth on collections, as tables."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rerank_shared.models.manifest import Shortened, ShortenedCollection


def shortened_report(shortened: Shortened) -> RenderableType:
    """Return the figures of a shortened model against the whole one, both in fp32."""
    parts: list[RenderableType] = [_depths(shortened)]
    if shortened.made_queries:
        queries = shortened.queries + shortened.measured_lists
        parts.append(Text(f"{shortened.made_queries} of {queries} queries were made of the corpus.", style="dim"))
    return Group(*parts, *(_on_collection(each, shortened.kept) for each in shortened.collections))


def _depths(shortened: Shortened) -> Table:
    """Return the table of every depth, with the one that was kept marked; they all come of the same runs."""
    bounds = shortened.bounds
    lists = f"{shortened.measured_lists} lists of other queries, {shortened.measured_pairs:,} pairs"
    headings = ("layers", "correlation", "its best ten", "")
    table = Table(*headings, box=SIMPLE_HEAD, title=f"Against the whole model, in {lists}")
    for depth, found in shortened.by_depth.items():
        _add(table, depth, shortened.kept, f"{found.correlation:.3f}", f"{found.overlap_at_10:.3f}")
    table.add_section()
    table.add_row("at least", f"{bounds.min_correlation:g}", f"{bounds.min_overlap_at_10:g}", "")
    return table


def _on_collection(found: ShortenedCollection, kept: int) -> Table:
    """Return the table of every depth on a collection, with the whole model and BM25 at its end."""
    title = f"nDCG@10 on {found.name}, {found.queries:,} queries"
    caption = "Fused: BM25's score counts as much as the model's."
    table = Table("layers", "alone", "fused", "", box=SIMPLE_HEAD, title=title, caption=caption)
    for depth, quality in found.by_depth.items():
        _add(table, depth, kept, f"{quality.ndcg_10:.4f}", f"{quality.ndcg_10_fused:.4f}")
    table.add_section()
    table.add_row("BM25", f"{found.ndcg_10_first:.4f}", "", "")
    return table


def _add(table: Table, depth: int, kept: int, *figures: str) -> None:
    style, mark = ("bold", "kept") if depth == kept else ("dim", "")
    table.add_row(str(depth), *figures, mark, style=style)
