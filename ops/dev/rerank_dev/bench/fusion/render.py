"""Puts what `make bench-fusion` found into docs/fusion.md and docs/measured.md, so that no figure is typed by hand.

python -m rerank_dev.bench.fusion.render docs/fusion.md [--result build/bench/fusion.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rerank_dev.bench.render import figures_table
from rerank_dev.docs.marked import replace_part

RESULT = Path("build/bench/fusion.json")
_SIGNIFICANT = 0.05


def quality_part(result: Mapping[str, Any]) -> str:
    """Return the table of nDCG@10: a line a variant, a column a collection."""
    tables: Sequence[Mapping[str, Any]] = [*result["collections"], result["pooled"]]
    heads = [f"{each['name']}, {each['queries']}" for each in tables]
    lines = [
        f"{result['model']}, {result['machine']}. BM25's best {result['k']} candidates; number of queries in the head:",
        "",
        f"| nDCG@10 | {' | '.join(heads)} | p, first stage | p, model |",
        "|---" * (len(tables) + 3) + "|",
        f"| first stage alone | {_cells(each['first_stage'][0] for each in tables)} | | |",
        f"| model alone | {_cells(each['model'][0] for each in tables)} | | |",
    ]
    for place, row in enumerate(tables[-1]["rows"]):
        variant = f"{row['variant']['method']} {row['variant']['weight']:g}"
        figures = _cells(each["rows"][place]["ndcg_at_10"] for each in tables)
        lines.append(f"| {variant} | {figures} | {_p(row['p_first_stage'])} | {_p(row['p_model'])} |")
    lines += ["", f"RR@10 of all queries: {_reciprocal_ranks(tables[-1])}."]
    return "\n".join(lines)


def summary_part(result: Mapping[str, Any]) -> str:
    """Return the short table: each stage alone, and fused by default, of each collection and of all queries."""
    lines = ["| collection | queries | BM25 | model | fused |", "|---|---|---|---|---|"]
    for each in (*result["collections"], result["pooled"]):
        row = _default(each)
        figures = (each["first_stage"][0], each["model"][0], row["ndcg_at_10"])
        cells = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {each['name']} | {each['queries']} | {cells} |")
    return "\n".join(lines)


def ratio_part(result: Mapping[str, Any]) -> str:
    """Return the table of ratios: learned, early, and the best weight in hindsight."""
    lines = [
        "| | ratio | after 30 requests | deviation between requests | weight 1 | best in hindsight | at weight |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in result["collections"]:
        ratio = each["ratio"]
        if ratio is None:
            continue
        lines.append(
            f"| {each['name']} | {ratio['learned']:.3f} | {ratio['first_trusted']:.3f} | {ratio['spread']:.0%} "
            f"| {_default(each)['ndcg_at_10']:.4f} | {ratio['best_ndcg_at_10']:.4f} | {ratio['best_weight']:.2f} |"
        )
    return "\n".join(lines)


def _default(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row of `weighted` at weight 1."""
    rows: Sequence[Mapping[str, Any]] = table["rows"]
    return next(row for row in rows if row["variant"] == {"method": "weighted", "weight": 1.0})


def _cells(values: Iterator[float] | Sequence[float]) -> str:
    return " | ".join(f"{value:.4f}" for value in values)


def _p(value: float) -> str:
    shown = f"{value:.2g}" if value >= 0.0001 else "<0.0001"
    return f"**{shown}**" if value < _SIGNIFICANT else shown


def _reciprocal_ranks(table: Mapping[str, Any]) -> str:
    at_one = [
        f"{row['variant']['method']} {row['rr_at_10']:.4f}" for row in table["rows"] if row["variant"]["weight"] == 1.0
    ]
    alone = [f"first stage {table['first_stage'][1]:.4f}", f"model {table['model'][1]:.4f}"]
    return ", ".join([*alone, *at_one]) + " (weight 1)"


def main() -> None:
    """Write the parts."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.fusion.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--short", type=Path, default=Path("docs/measured.md"), help="document of the short table")
    parser.add_argument("--result", type=Path, default=RESULT, help="what the benchmark wrote")
    chosen = parser.parse_args()
    result = json.loads(chosen.result.read_text(encoding="utf-8"))
    parts = {"quality": quality_part(result), "ratio": ratio_part(result), "bench": figures_table(result["cost"])}
    _write(chosen.document, parts)
    _write(chosen.short, {"fusion": summary_part(result)})


def _write(path: Path, parts: Mapping[str, str]) -> None:
    document = path.read_text(encoding="utf-8")
    for name, content in parts.items():
        document = replace_part(document, name, content)
    path.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
