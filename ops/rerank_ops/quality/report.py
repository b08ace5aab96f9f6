"""Quality report as tables: every figure beside its bound."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rerank_shared.models.manifest import CollectionQuality, Quality
from rerank_shared.models.precision import PRECISION, LayoutName, PrecisionName


def quality_report(quality: Quality, precision: PrecisionName, name: str | None = None) -> RenderableType:
    """Return the report as tables, with the verdict and each failure below; `name` stands for the precision's."""
    title = f"{name or precision} against fp32 of the same weights"
    table = Table("", "measured", "at least", title=title, box=SIMPLE_HEAD, min_width=len(title))
    table.add_row(f"Spearman, {quality.pairs} pairs", f"{quality.spearman:.4f}", f"{quality.bounds.min_spearman:g}")
    table.add_row("difference of logits, rmse", f"{quality.rmse:.4f}", "")
    table.add_row("difference of logits, largest", f"{quality.max_difference:.4f}", "")
    for layout, same in quality.invariance.items():
        told = "same bits" if same else "varies"
        table.add_row(f"score in any company, layout {layout}", told, _promise(precision, layout))
    parts: list[RenderableType] = [table]
    if quality.collections:
        parts.append(_collections(quality))
    return Group(*parts, _verdict(quality))


def _promise(precision: PrecisionName, layout: LayoutName) -> str:
    return "same bits" if layout in PRECISION[precision].invariant_layouts else ""


def _collections(quality: Quality) -> Table:
    headings = ("collection", "queries", "BM25", "nDCG@10", "fp32", "ratio", "at least", "MRR@10", "fp32", "Spearman")
    table = Table(*headings, box=SIMPLE_HEAD)
    for each in quality.collections:
        table.add_row(
            each.name,
            str(each.queries),
            "" if each.ndcg_10_first is None else f"{each.ndcg_10_first:.4f}",
            f"{each.ndcg_10:.4f}",
            f"{each.ndcg_10_fp32:.4f}",
            _ratio(each),
            f"{quality.bounds.min_ndcg_ratio:g}",
            f"{each.mrr_10:.4f}",
            f"{each.mrr_10_fp32:.4f}",
            f"{each.spearman:.4f}",
        )
    return table


def _ratio(each: CollectionQuality) -> str:
    return f"{each.ndcg_10 / each.ndcg_10_fp32:.4f}" if each.ndcg_10_fp32 else "no fp32"


def _verdict(quality: Quality) -> Text:
    if quality.passed:
        return Text("The quality gate is passed.", style="green")
    lines = [Text("The quality gate is failed:", style="bold red"), *(Text(f"  {each}") for each in quality.failures)]
    return Text("\n").join(lines)
