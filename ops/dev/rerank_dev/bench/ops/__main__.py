"""Runs the parts that are named, or all; writes build/bench/ops.json, where the others keep what they had.

python -m rerank_dev.bench.ops [drain recovery rolling failover counting] [--rounds N] [--small]
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from rerank_dev.bench.ops.counting import counting
from rerank_dev.bench.ops.drain import drain
from rerank_dev.bench.ops.failover import failover
from rerank_dev.bench.ops.recovery import recovery
from rerank_dev.bench.ops.rolling import rolling
from rerank_dev.bench.ops.scale import SMALL, Scale
from rerank_dev.bench.record import Figure, merged, report
from rerank_dev.bench.scheduling.load import Questions
from rerank_shared.settings import load_settings

OUTPUT = Path("build/bench/ops.json")
PARTS = {"drain": drain, "recovery": recovery, "rolling": rolling, "failover": failover, "counting": counting}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.ops")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, help="of the drain (default: 20)")
    parser.add_argument("--small", action="store_true", help="try whether the parts work; nothing is written down")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    scale = SMALL if chosen.small else Scale()
    scale = replace(scale, drains=chosen.rounds or scale.drains)
    settings, questions = load_settings(namespace=f"bench-{os.getpid()}"), Questions()
    figures: list[Figure] = []
    for name in chosen.parts or PARTS:
        figures += PARTS[name](settings, questions, scale)
    if chosen.small:
        report(figures, OUTPUT.with_suffix(".small.json"))
    else:
        report(merged(figures, OUTPUT), OUTPUT)


if __name__ == "__main__":
    main()
