"""The race as a picture: pairs a second of each contender. Needs matplotlib and nothing of ours.

python -m rerank_dev.bench.engine.report.chart build/bench/engine.json docs/engine-speed.svg
"""

from __future__ import annotations

import argparse
import json
import statistics
from importlib import import_module
from pathlib import Path
from typing import Any

OURS, PEER = "#1f6f8b", "#b8b8b8"


def bars(race: dict[str, Any], k: int) -> list[tuple[str, float, bool]]:
    """Return (label, pairs a second, ours) of each contender that ran, slowest first."""
    found = [
        (f"{outcome['label']} ({outcome['precision']})", k / statistics.median(outcome["seconds"]), outcome["ours"])
        for outcome in race["outcomes"]
        if outcome["k"] == k and outcome["seconds"]
    ]
    return sorted(found, key=lambda bar: bar[1])


def draw(data: dict[str, Any], path: Path) -> None:
    """Write the picture: a model a panel, at its smallest k."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "rerank-fleet"
    matplotlib.rcParams["svg.fonttype"] = "none"
    pyplot = import_module("matplotlib.pyplot")
    panels = [(race, min(outcome["k"] for outcome in race["outcomes"])) for race in data["race"].values()]
    rows = [bars(race, k) for race, k in panels]
    figure, axes = pyplot.subplots(
        len(panels), figsize=(8, 1.2 + 0.27 * sum(map(len, rows))), squeeze=False, height_ratios=[*map(len, rows)]
    )
    for (race, k), found, (axis,) in zip(panels, rows, axes, strict=True):
        drawn = axis.barh(
            range(len(found)), [bar[1] for bar in found], color=[OURS if bar[2] else PEER for bar in found]
        )
        axis.set_yticks(range(len(found)), [bar[0] for bar in found], fontsize=8)
        axis.bar_label(drawn, fmt="%.0f", fontsize=8, padding=3)
        axis.set_title(f"{race['model']}, k={k}: pairs a second on one thread (ours in blue)", fontsize=9, loc="left")
        axis.margins(y=0.02)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Draw the figures of a file."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.engine.report.chart")
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    chosen = parser.parse_args()
    draw(json.loads(chosen.figures.read_text(encoding="utf-8")), chosen.picture)


if __name__ == "__main__":
    main()
