"""The quality of an exported model as a part of a Markdown page, from the report in its manifest.

python -m rerank_dev.docs.quality_page docs/engine.md DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rerank_dev.docs.marked import replace_part
from rerank_shared.models.manifest import Manifest, Quality, read_manifest

PART = "engine-quality"


def main(arguments: list[str] | None = None) -> None:
    """Bring the part of a page up to date."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.docs.quality_page", description=__doc__)
    parser.add_argument("page", type=Path, help="page with the markers")
    parser.add_argument("directory", type=Path, help="exported model")
    chosen = parser.parse_args(arguments)
    document = chosen.page.read_text(encoding="utf-8")
    chosen.page.write_text(replace_part(document, PART, render(read_manifest(chosen.directory))), encoding="utf-8")


def render(manifest: Manifest) -> str:
    """Return the report as Markdown."""
    quality = manifest.quality
    if quality is None:
        return f"{manifest.model} ({manifest.precision}) was not measured."
    same = ", ".join(layout for layout, holds in quality.invariance.items() if holds) or "none"
    lines = [
        f"{manifest.model} in {manifest.precision}, {_versions(manifest)}. Against fp32 of the same weights, over "
        f"{quality.pairs} frozen pairs: Spearman {quality.spearman:.4f}, root mean square error {quality.rmse:.3f} and "
        f"largest difference {quality.max_difference:.3f} in a logit. The same bits in any order and company: layout "
        f"{same}.",
    ]
    return "\n".join([*lines, "", *_collections(quality)]) if quality.collections else lines[0]


def _collections(quality: Quality) -> list[str]:
    rows = [
        f"| {each.name} | {each.queries} | {each.ndcg_10:.4f} | {each.ndcg_10_fp32:.4f} | "
        f"{each.ndcg_10 - each.ndcg_10_fp32:+.4f} | {each.mrr_10:.4f} | {each.mrr_10_fp32:.4f} | {each.spearman:.4f} |"
        for each in quality.collections
    ]
    return [
        "| collection | queries | nDCG@10 | fp32 | difference | MRR@10 | fp32 | Spearman of scores |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def _versions(manifest: Manifest) -> str:
    return f"onnxruntime {manifest.versions.get('onnxruntime', 'unknown')}"


if __name__ == "__main__":
    main()
