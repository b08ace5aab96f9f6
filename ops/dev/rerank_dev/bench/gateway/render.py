"""Puts what `make bench-gateway` measured into the document about the gateway, so that no figure is typed by hand.

python -m rerank_dev.bench.gateway.render docs/gateway.md [--figures build/bench/gateway.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rerank_dev.bench.gateway.race import EACH, GATEWAY, MEASURES, PEERS, RATIOS, VARIANTS, name_of, ratio_name
from rerank_dev.bench.render import figures_table
from rerank_dev.docs.marked import replace_part

FIGURES = Path("build/bench/gateway.json")
_HEAD = (
    "clients", "service", "requests a round", "p50, ms", "p95, ms", "requests/s", "gateway ahead in p95",
    "gateway ahead in requests/s",
)  # fmt: skip
Figures = dict[str, dict[str, Any]]


def race_table(figures: Figures) -> str:
    """Return the race as a table of its services side by side; empty if it was not run, or not as it is run now."""
    names = [name_of(variant, clients, measure) for clients in EACH for variant in VARIANTS for measure in MEASURES]
    if any(name not in figures for name in names):
        return ""
    rows = [f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD)]
    rows += [_row(figures, variant, clients) for clients in EACH for variant in VARIANTS]
    first = figures[names[0]]
    return f"{len(first['samples'])} rounds, {first['machine']}:\n\n" + "\n".join(rows)


def other_figures(figures: Figures) -> str:
    """Return all figures that are not the race's as a table; empty if there are none."""
    race = {name_of(variant, clients, measure) for variant in VARIANTS for clients in EACH for measure in MEASURES}
    race |= {ratio_name(variant, clients, measure) for variant in PEERS for clients in EACH for measure in RATIOS}
    others = [figure for name, figure in figures.items() if name not in race]
    return figures_table(others) if others else ""


def main() -> None:
    """Write the parts that were measured; the others stay."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.gateway.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    chosen = parser.parse_args()
    figures = {figure["name"]: figure for figure in json.loads(chosen.figures.read_text(encoding="utf-8"))}
    document = chosen.document.read_text(encoding="utf-8")
    for name, text in (("gateway-figures", other_figures(figures)), ("gateway-race", race_table(figures))):
        if text:
            document = replace_part(document, name, text)
    chosen.document.write_text(document, encoding="utf-8")


def _row(figures: Figures, variant: str, clients: int) -> str:
    measured = [_cell(figures[name_of(variant, clients, measure)]) for measure in MEASURES]
    if variant == GATEWAY:
        return f"| {clients} | **{variant}** | {' | '.join(measured)} | | |"
    ahead = [_cell(figures[ratio_name(variant, clients, measure)]) for measure in RATIOS]
    return f"| {clients} | {variant} | {' | '.join([*measured, *ahead])} |"


def _cell(figure: dict[str, Any]) -> str:
    low, high = min(figure["samples"]), max(figure["samples"])
    if low == high:
        return _short(low)
    return f"{_short(figure['value'])} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
