"""Puts what was measured into the README, so that no figure is typed by hand.

python -m rerank_dev.bench.render README.md [--figures build/bench/fleet.json] [--demo build/demo.txt]
python -m rerank_dev.bench.render docs/scheduling.md --output redis-load=build/bench/redis-load.txt
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rerank_dev.docs.marked import replace_part


def figures_table(figures: list[dict[str, Any]]) -> str:
    """Return the figures of a benchmark as a Markdown table under the machine they were measured on."""
    rows = ["| figure | median | lowest to highest | n | target | met |", "|---|---|---|---|---|---|"]
    for figure in figures:
        samples = figure["samples"]
        met = {True: "yes", False: "**no**", None: ""}[figure["met"]]
        row = (
            figure["name"],
            f"{figure['value']:.4g} {figure['unit']}",
            f"{min(samples):.4g} to {max(samples):.4g}",
            str(len(samples)),
            figure["target"] or "",
            met,
        )
        rows.append(f"| {' | '.join(row)} |")
    return f"{figures[0]['machine']}:\n\n" + "\n".join(rows)


def demo_block(output: str) -> str:
    """Return the demo's output as a console block, without the air around its tables."""
    lines = [line.rstrip() for line in output.splitlines()]
    lines = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if line or not after.startswith(" ")]
    return "```console\n$ make demo\n" + "\n".join(lines).strip("\n") + "\n```"


def output_block(output: str) -> str:
    """Return what a command printed, its own line first, as a console block."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    return "```console\n" + "\n".join(lines) + "\n```"


def main() -> None:
    """Write the given parts."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--figures", type=Path, help="JSON that a benchmark wrote")
    parser.add_argument("--demo", type=Path, help="what `rerank-fleet demo` printed")
    parser.add_argument("--output", action="append", default=[], metavar="PART=FILE", help="what a command printed")
    chosen = parser.parse_args()
    document = chosen.document.read_text(encoding="utf-8")
    if chosen.figures:
        document = replace_part(document, "bench", figures_table(json.loads(chosen.figures.read_text())))
    if chosen.demo:
        document = replace_part(document, "demo", demo_block(chosen.demo.read_text(encoding="utf-8")))
    for given in chosen.output:
        part, _, path = given.partition("=")
        document = replace_part(document, part, output_block(Path(path).read_text(encoding="utf-8")))
    chosen.document.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
