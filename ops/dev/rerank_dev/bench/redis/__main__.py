"""Measures every kind of persistence in turns, and writes build/bench/redis.json.

python -m rerank_dev.bench.redis [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rerank_dev.bench.record import Figure, report
from rerank_dev.bench.redis.persistence import KINDS, jobs_per_s, lost_by_kill

FIGURES = Path("build/bench/redis.json")


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.redis")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    chosen = parser.parse_args()
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    lost: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(chosen.rounds):
        for kind in KINDS:
            rates[kind].append(jobs_per_s(kind, chosen.seconds))
            shares[kind].append(rates[kind][-1] / rates["none"][-1])
            accepted, gone = lost_by_kill(kind, chosen.seconds)
            lost[kind].append(100 * gone / accepted)
    figures = []
    for kind in KINDS:
        figures.append(Figure.of(f"{kind}: jobs enqueued, taken and finished", rates[kind], "a second"))
        figures.append(Figure.of(f"{kind}: the same, beside none", shares[kind], "x"))
        figures.append(Figure.of(f"{kind}: accepted jobs lost when the server is killed", lost[kind], "%"))
    report(figures, FIGURES)


if __name__ == "__main__":
    main()
