"""Runs the parts that are named, or all; writes build/bench/gateway.json, where the others keep what they had.

python -m rerank_dev.bench.gateway [added cached-rate open race]
"""

from __future__ import annotations

import argparse

from rerank_dev.bench.gateway.added import added
from rerank_dev.bench.gateway.cached_rate import cached_rate
from rerank_dev.bench.gateway.open_requests import open_requests
from rerank_dev.bench.gateway.place import place
from rerank_dev.bench.gateway.race import race
from rerank_dev.bench.gateway.render import FIGURES
from rerank_dev.bench.record import Figure, merged, report

PARTS = {"added": added, "cached-rate": cached_rate, "open": open_requests, "race": race}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.gateway")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures: list[Figure] = []
    with place() as here:
        for name in chosen:
            figures += PARTS[name](here)
    report(merged(figures, FIGURES), FIGURES)


if __name__ == "__main__":
    main()
