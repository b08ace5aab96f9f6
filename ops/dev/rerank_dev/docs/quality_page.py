"""The quality of an exported model as a part of a Markdown page, from the report in its manifest.

python -m rerank_dev.docs.quality_page docs/engine.md DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rerank_dev.docs.marked import replace_part
from rerank_shared.models.manifest import Manifest, Quality, read_manifest

PART = "engine-quality"
#: How far nDCG@10 may be from that of fp32.
NDCG_WITHIN = 0.003
Reports = Mapping[str, Quality]


def main(arguments: list[str] | None = None) -> None:
    """Bring the part of a page up to date."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.docs.quality_page", description=__doc__)
    parser.add_argument("page", type=Path, help="page with the markers")
    parser.add_argument("directory", type=Path, help="exported model")
    chosen = parser.parse_args(arguments)
    document = chosen.page.read_text(encoding="utf-8")
    chosen.page.write_text(replace_part(document, PART, render(read_manifest(chosen.directory))), encoding="utf-8")


def render(manifest: Manifest) -> str:
    """Return the reports on the graphs, and on each kernel that runs them, side by side as Markdown."""
    if manifest.quality is None:
        return f"{manifest.model} ({manifest.precision}) was not measured."
    reports: Reports = {manifest.precision: manifest.quality, **(manifest.kernels.quality if manifest.kernels else {})}
    head = (
        f"{manifest.model}, {_versions(manifest)}. Against fp32 of the same weights, over {manifest.quality.pairs} "
        "frozen pairs, differences in a logit:"
    )
    parts = [head, _agreement(reports)]
    if manifest.kernels and manifest.kernels.quality:
        parts.append(_no_worse(manifest.quality, manifest.kernels.quality))
    if manifest.quality.collections:
        parts += [_collections(reports), _within(reports)]
    return "\n\n".join(parts)


def _agreement(reports: Reports) -> str:
    rows = [
        [
            precision,
            f"{quality.spearman:.4f}",
            f"{quality.rmse:.3f}",
            f"{quality.max_difference:.3f}",
            ", ".join(layout for layout, holds in quality.invariance.items() if holds) or "none",
        ]
        for precision, quality in reports.items()
    ]
    head = [
        "precision",
        "Spearman",
        "root mean square error",
        "largest difference",
        "same bits in any company: layouts",
    ]
    return _table(head, rows)


def _collections(reports: Reports) -> str:
    """Return a row for each collection and figure: fp32, and each precision with how far it is from that."""
    first = next(iter(reports.values()))
    rows = []
    for number, reference in enumerate(first.collections):
        found = [quality.collections[number] for quality in reports.values()]
        known = [reference.name, str(reference.queries)]
        bm25 = "" if reference.ndcg_10_first is None else f"{reference.ndcg_10_first:.4f}"
        ndcg = [_against(each.ndcg_10, each.ndcg_10_fp32) for each in found]
        mrr = [_against(each.mrr_10, each.mrr_10_fp32) for each in found]
        rows.append([*known, "nDCG@10", bm25, f"{reference.ndcg_10_fp32:.4f}", *ndcg])
        rows.append([*known, "MRR@10", "", f"{reference.mrr_10_fp32:.4f}", *mrr])
        rows.append([*known, "Spearman of scores", "", "1", *(f"{each.spearman:.4f}" for each in found)])
    return _table(["collection", "queries", "figure", "BM25", "fp32", *reports], rows)


def _no_worse(operators: Quality, kernels: Reports) -> str:
    """Return of each kernel whether it is as near to fp32 as the operators that it replaces."""
    told = ", ".join(
        f"{name} {found.rmse:.3f} ({_met(found.rmse <= operators.rmse)})" for name, found in kernels.items()
    )
    return f"Root mean square error, to be at most that without a kernel, {operators.rmse:.3f}: {told}."


def _within(reports: Reports) -> str:
    """Return of each precision whether nDCG@10 kept to its bound in every collection, and by how much it was off."""
    told = []
    for precision, quality in reports.items():
        worst = max(abs(each.ndcg_10 - each.ndcg_10_fp32) for each in quality.collections)
        told.append(f"{precision} {worst:.4f} ({_met(worst <= NDCG_WITHIN)})")
    return f"Largest difference of nDCG@10 from fp32, to be at most {NDCG_WITHIN:g}: {', '.join(told)}."


def _met(kept: bool) -> str:
    return "met" if kept else "**missed**"


def _against(value: float, fp32: float) -> str:
    return f"{value:.4f} ({value - fp32:+.4f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _versions(manifest: Manifest) -> str:
    return f"onnxruntime {manifest.versions.get('onnxruntime', 'unknown')}"


if __name__ == "__main__":
    main()
