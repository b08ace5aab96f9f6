"""Runs the parts that are named, or all; writes build/bench/scheduling.json, where the others keep what they had.

python -m rerank_dev.bench.scheduling [idle mixed releases slow flight simulated] [--before CHECKOUT]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rerank_dev.bench.record import Figure, merged, report
from rerank_dev.bench.scheduling.flight import flight
from rerank_dev.bench.scheduling.idle import idle
from rerank_dev.bench.scheduling.load import Questions
from rerank_dev.bench.scheduling.mixed import mixed
from rerank_dev.bench.scheduling.releases import releases
from rerank_dev.bench.scheduling.simulated import simulated
from rerank_dev.bench.scheduling.slow import slow
from rerank_shared.settings import load_settings

OUTPUT = Path("build/bench/scheduling.json")
PARTS = ("idle", "mixed", "releases", "slow", "flight", "simulated")


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.scheduling")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--before", type=Path, help="checkout of the release to compare saturation with")
    chosen = parser.parse_args()
    parts = chosen.parts or PARTS
    settings = load_settings(namespace=f"bench-{os.getpid()}")
    questions, figures = Questions(), list[Figure]()
    capacity = releases(chosen.before)
    pairs_per_s = next(each.value for each in capacity if each.name == "saturated, shards off")
    if "releases" in parts:
        figures += capacity
    if "idle" in parts:
        figures += idle(settings, questions)
    if "mixed" in parts:
        figures += mixed(settings, questions, pairs_per_s)
    if "slow" in parts:
        figures += slow(settings, questions, pairs_per_s)
    if "flight" in parts:
        figures += flight(settings, questions, pairs_per_s)
    if "simulated" in parts:
        figures += simulated(settings, questions, pairs_per_s)
    report(merged(figures, OUTPUT), OUTPUT)


if __name__ == "__main__":
    main()
