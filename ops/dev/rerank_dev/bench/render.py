"""Puts what was measured into the docs, so that no figure is typed by hand.

python -m rerank_dev.bench.render README.md --demo-excerpt build/demo.txt
python -m rerank_dev.bench.render docs/measured.md [--figures build/bench/fleet.json] [--demo build/demo.txt]
python -m rerank_dev.bench.render docs/redis.md --figures build/bench/ops.json --only fail-over --part failover
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


def demo_excerpt(output: str) -> str:
    """Return the demo's output up to its first question's table, as a console block."""
    head, mark, rest = output.partition("\n“")
    return demo_block(head + mark + rest.partition("\n“")[0])


def output_block(output: str) -> str:
    """Return what a command printed, its own line first, as a console block."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    return "```console\n" + "\n".join(lines) + "\n```"


def _chosen(figures: list[dict[str, Any]], only: str, without: str | None) -> list[dict[str, Any]]:
    kept = [figure for figure in figures if figure["name"].startswith(only)]
    return [figure for figure in kept if without is None or not figure["name"].startswith(without)]


def main() -> None:
    """Write the given parts."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--figures", type=Path, help="JSON that a benchmark wrote")
    parser.add_argument("--part", default="bench", help="the part of the document that the figures go to")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", default="", metavar="PREFIX", help="the figures whose names begin with it")
    which.add_argument("--without", metavar="PREFIX", help="all figures but those")
    parser.add_argument("--demo", type=Path, help="what `rerank-fleet demo` printed")
    parser.add_argument("--demo-excerpt", type=Path, help="the same, of which the head is put into `demo-excerpt`")
    parser.add_argument("--output", action="append", default=[], metavar="PART=FILE", help="what a command printed")
    chosen = parser.parse_args()
    document = chosen.document.read_text(encoding="utf-8")
    if chosen.figures:
        figures = _chosen(json.loads(chosen.figures.read_text()), chosen.only, chosen.without)
        if figures:
            document = replace_part(document, chosen.part, figures_table(figures))
        else:
            print(f"{chosen.document}: no such figure was measured; its part {chosen.part} stays as it is")
    if chosen.demo:
        document = replace_part(document, "demo", demo_block(chosen.demo.read_text(encoding="utf-8")))
    if chosen.demo_excerpt:
        output = chosen.demo_excerpt.read_text(encoding="utf-8")
        document = replace_part(document, "demo-excerpt", demo_excerpt(output))
    for given in chosen.output:
        part, _, path = given.partition("=")
        document = replace_part(document, part, output_block(Path(path).read_text(encoding="utf-8")))
    chosen.document.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
