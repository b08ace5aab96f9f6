"""Puts what `make bench-evaluate` found into docs/evaluate.md, so that no figure is typed by hand.

python -m rerank_dev.bench.evaluate.render docs/evaluate.md [--result build/bench/evaluate.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rerank_dev.bench.render import output_block
from rerank_dev.docs.marked import replace_part

RESULT = Path("build/bench/evaluate.json")
#: In the order of the columns; differences are told of the last.
MEASURES = ("RR@10", "nDCG@5", "nDCG@10")
_SIGNIFICANT = 0.05


def compared_part(result: Mapping[str, Any]) -> str:
    """Return the table: a line for each system of each collection, bold where a difference is more than chance."""
    first = result["collections"][0]["asked"]
    lines = [
        f"{result['machine']}. Times are those of one query with the best {first['k']} candidates on an idle fleet.",
        "",
        f"| collection, queries | system | {' | '.join(MEASURES)} | P95, ms | {MEASURES[-1]} less first stage, 95 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in result["collections"]:
        lines += _lines(each)
    return "\n".join(lines)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    head = f"{found['asked']['data']}, {found['asked']['queries']:,}"
    for each in found["systems"]:
        if each["kind"] == "again":
            continue
        means = " | ".join(f"{each['means'][measure]:.3f}" for measure in MEASURES)
        speed = each["speed"]
        time_ms = "" if speed is None else f"{'~' if speed['computed'] else ''}{speed['p95_ms']:,.0f}"
        yield f"| {head} | {_cell(each['name'])} | {means} | {time_ms} | {_difference(each)} |"
        head = ""


def _difference(system: Mapping[str, Any]) -> str:
    found = system["comparisons"].get(MEASURES[-1])
    if found is None:
        return ""
    gain = found["gain"]
    sure = all(p < _SIGNIFICANT for p in found["corrected"].values()) and not gain["low"] <= 0 <= gain["high"]
    mean = f"**{gain['mean']:+.3f}**" if sure else f"{gain['mean']:+.3f}"
    return f"{mean} ({gain['low']:+.3f} to {gain['high']:+.3f})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write both parts of the page."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.evaluate.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--result", type=Path, default=RESULT)
    chosen = parser.parse_args()
    result = json.loads(chosen.result.read_text(encoding="utf-8"))
    document = chosen.document.read_text(encoding="utf-8")
    document = replace_part(document, "evaluate", output_block(result["text"]))
    chosen.document.write_text(replace_part(document, "compared", compared_part(result)), encoding="utf-8")


if __name__ == "__main__":
    main()
