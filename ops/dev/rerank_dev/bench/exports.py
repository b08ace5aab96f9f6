"""Pairs a second of several models on one core, as a worker opens them; the first is what the others are held against.

Every round runs the same pairs by each model in turn, so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from rerank_dev.bench.bare_loops import Asked, BareLoops
from rerank_dev.bench.record import Figure, report
from rerank_ops.quality.collection import load_collection
from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.cores import available_cores


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="rerank_dev.bench.exports", description=__doc__)
    parser.add_argument("model", nargs="+", help="directory of an export, or any other name of a model")
    parser.add_argument(
        "--data", type=Path, required=True, help="collection in BEIR's layout, to run the candidates of"
    )
    parser.add_argument("--queries", type=int, default=2, help="queries of it, of 50 candidates each (%(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds behind a first one (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/exports.json"))
    chosen = parser.parse_args()
    collection = load_collection(chosen.data, chosen.queries)
    asked = [(task.query, [candidate.text for candidate in task.candidates]) for task in collection.tasks]
    report(figures(measured(chosen.model, asked, chosen.rounds)), chosen.output)


def measured(models: list[str], asked: list[Asked], rounds: int) -> dict[str, list[float]]:
    """Return the pairs a second of each model, by round."""
    found: dict[str, list[float]] = {name: [] for name in models}
    with ExitStack() as stack:
        loops = {name: stack.enter_context(BareLoops(_settings(name), available_cores()[:1], asked)) for name in models}
        for each in loops.values():
            each.per_s()
        for _ in range(rounds):
            for name, each in loops.items():
                found[name].append(each.per_s()[0])
    return found


def figures(found: dict[str, list[float]]) -> list[Figure]:
    """Return the medians of all models, and of the ratios of each to the first within a round."""
    (first, base), *others = ((Path(name).name, samples) for name, samples in found.items())
    told = [Figure.of(name, samples, "pairs/s") for name, samples in [(first, base), *others]]
    for name, samples in others:
        ratios = [one / other for one, other in zip(samples, base, strict=True)]
        told.append(Figure.of(f"{name} / {first}", ratios, "x"))
    return told


def _settings(model: str) -> Settings:
    """Return settings of a worker for a model, whatever its gate said: a refused one has a speed, too."""
    return load_settings(model=f"file:{Path(model).resolve()}" if Path(model).is_dir() else model, unsafe=True)


if __name__ == "__main__":
    main()
