"""Runs the parts that are named, or all; writes build/bench/bulk.json, where the others keep what they had.

python -m rerank_dev.bench.bulk [throughput peer interactive memory resume] [--rounds N] [--small]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rerank_dev.bench.bulk.interactive import interactive
from rerank_dev.bench.bulk.memory import memory, resume
from rerank_dev.bench.bulk.peer import peer
from rerank_dev.bench.bulk.place import SMALL, Scale, place
from rerank_dev.bench.bulk.render import FIGURES
from rerank_dev.bench.bulk.throughput import throughput
from rerank_dev.bench.record import Figure, merged, report

PARTS = {"throughput": throughput, "peer": peer, "interactive": interactive, "memory": memory, "resume": resume}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.bulk")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, help="of each part that has several (default: 5)")
    parser.add_argument("--small", action="store_true", help="try whether the parts work; nothing is written down")
    parser.add_argument("--peers-python", type=Path, default=Path(".venv-peers/bin/python"))
    chosen = parser.parse_args()
    parts = chosen.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures: list[Figure] = []
    scale = SMALL if chosen.small else Scale()
    with place(replace(scale, rounds=chosen.rounds or scale.rounds), chosen.peers_python) as here:
        for name in parts:
            figures += PARTS[name](here)
    if chosen.small:
        report(figures, FIGURES.with_suffix(".small.json"))
    else:
        report(merged(figures, FIGURES), FIGURES)


if __name__ == "__main__":
    main()
