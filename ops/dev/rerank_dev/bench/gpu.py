"""`python -m rerank_dev.bench.gpu DIR [DIR...]`: exported models on a GPU, by layout, run size and CUDA graphs.

Each DIR is one precision of a model; their scores are held against the first one's on this machine's CPU, so that
nothing is fast by being wrong. Pairs are the shipped sample's, their tokens made before the clock starts. With
`--device cpu` the same code runs without a GPU, to see that it does; such figures are not of the CPU engine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from rich.console import Console
from rich.table import Table

from rerank_ops.tune.sample import Sample, shipped_sample
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.cpu import cpu_name
from rerank_shared.models.manifest import Manifest
from rerank_shared.models.precision import LAYOUTS, LayoutName, PrecisionName
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import DeviceName
from rerank_worker.engine import ArtefactEngine, DeviceEngine, Providers
from rerank_worker.engine.providers import choose, cuda_trouble, with_cuda_graphs
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

OUTPUT = Path("build/bench/gpu.json")
RUN_PAIRS = (8, 32, 128, 256)
ROUNDS = 7
#: Pairs of one pass, and those of them that are scored on the CPU as well.
PAIRS, COMPARED = 512, 32
QUICK_RUN_PAIRS, QUICK_ROUNDS, QUICK_PAIRS, QUICK_COMPARED = (2, 8), 2, 16, 8
#: Padding included: for pairs of any length, so that the number of pairs is what limits a run.
_RUN_TOKENS = 1 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """What every cell does: so many passes over the same pairs, shortest first."""

    pairs: Sequence[EncodedPair]
    rounds: int
    reference: Sequence[float]


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured way to run. `p50_ms` is of one run alone, `pairs_per_s` with two under way. `error`: why not."""

    model: str
    precision: PrecisionName
    layout: LayoutName
    run_pairs: int
    cuda_graphs: bool
    pairs_per_s: float = 0.0
    p50_ms: float = 0.0
    difference: float = 0.0
    error: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file; returns the exit status, 1 where nothing could be measured."""
    chosen = _parser().parse_args(arguments)
    try:
        cells = list(_measure(chosen))
    except ConfigurationError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    where = machine(chosen.device)
    Console(width=140).print(table(cells, where))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": where, "device": chosen.device, "cells": [asdict(cell) for cell in cells]}
    chosen.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {chosen.output}")
    return 0 if any(cell.error is None for cell in cells) else 1


def machine(device: DeviceName) -> str:
    """Describe in one line what was measured on."""
    runtime = f"onnxruntime {onnxruntime.__version__}"
    return f"{cpu_name()} (no GPU, a trial of the script), {runtime}" if device == "cpu" else f"{gpu_name()}, {runtime}"


def gpu_name() -> str:
    """Return what nvidia-smi calls the first GPU, with its driver and memory."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    return next(iter(told.strip().splitlines()), "unknown GPU")


def table(cells: Sequence[Cell], where: str) -> Table:
    """Return the cells as a table under the machine's name."""
    shown = Table("model", "precision", "layout", "run", "graphs", "pairs/s", "p50 of a run", "difference", title=where)
    for cell in cells:
        row = (cell.model, cell.precision, cell.layout, str(cell.run_pairs), "yes" if cell.cuda_graphs else "")
        if cell.error is None:
            shown.add_row(*row, f"{cell.pairs_per_s:,.0f}", f"{cell.p50_ms:.2f} ms", f"{cell.difference:.1e}")
        else:
            shown.add_row(*row, "", "", f"[red]{cell.error.splitlines()[0][:60]}[/]")
    return shown


def _measure(chosen: argparse.Namespace) -> Iterator[Cell]:
    models = [load_files(f"file:{path.resolve()}", unsafe=chosen.unsafe) for path in chosen.directories]
    tokenizer = PairTokenizer.of(models[0])
    sample = shipped_sample(tokenizer, _manifest(models[0]).max_length)
    work = _work(models[0], sample, quick=chosen.quick)
    sizes = QUICK_RUN_PAIRS if chosen.quick else RUN_PAIRS
    for files in models:
        manifest = _manifest(files)
        # Without the device there is nothing to measure, in no cell.
        providers = _providers(chosen.device, manifest.precision)
        layouts = [layout for layout in chosen.layouts if layout in manifest.layouts]
        # Graphs in layout unpadded would be one for each length; the engine refuses them.
        graphs = [False, True] if chosen.device != "tensorrt" else [False]
        for layout, size, captured in product(layouts, sizes, graphs):
            if not (captured and layout == "unpadded"):
                cell = Cell(files.name, manifest.precision, layout, size, captured)
                yield _measured(cell, files, _capturing(providers) if captured else providers, work)


def _work(files: ModelFiles, sample: Sample, *, quick: bool) -> Work:
    pairs = sample.take(QUICK_PAIRS if quick else PAIRS)
    # From all over the lengths.
    compared = pairs[:: len(pairs) // (QUICK_COMPARED if quick else COMPARED)]
    manifest = _manifest(files)
    layout = next(iter(manifest.layouts))
    engine = ArtefactEngine(*_graphs(files, layout), RunShape(layout, pairs=1))
    reference = [float(engine.score([pair])[0]) for pair in compared]
    return Work(pairs, QUICK_ROUNDS if quick else ROUNDS, reference)


def _measured(cell: Cell, files: ModelFiles, providers: Providers, work: Work) -> Cell:
    try:
        engine = DeviceEngine(
            *_graphs(files, cell.layout),
            RunShape(cell.layout, cell.run_pairs, _RUN_TOKENS),
            providers,
            _manifest(files).max_length,
        )
        try:
            return _timed(cell, engine, work)
        finally:
            engine.close()
    except Exception as error:
        # One cell out of memory, or without a kernel, says nothing about the others.
        return replace(cell, error=f"{error}".strip() or repr(error))


def _timed(cell: Cell, engine: DeviceEngine, work: Work) -> Cell:
    runs = [[work.pairs[i] for i in run] for run in engine.runs(work.pairs)]
    # Grows buffers, chooses kernels, captures graphs: twice, for each of two slots.
    for run in [*runs, *runs]:
        engine.score(run)
    passes, single = [], []
    scores = np.zeros(0, dtype=np.float32)
    for _ in range(work.rounds):
        started = time.perf_counter()
        scores = _pass(engine, runs)
        passes.append(time.perf_counter() - started)
        started = time.perf_counter()
        engine.score(runs[len(runs) // 2])
        single.append(time.perf_counter() - started)
    found = scores[:: len(work.pairs) // len(work.reference)]
    return replace(
        cell,
        pairs_per_s=len(work.pairs) / statistics.median(passes),
        p50_ms=statistics.median(single) * 1000,
        difference=float(np.abs(found - np.array(work.reference)).max()),
    )


def _pass(engine: DeviceEngine, runs: Sequence[Sequence[EncodedPair]]) -> npt.NDArray[np.float32]:
    """Score all runs, two under way, as workers do."""
    under_way, found = deque([engine.start(runs[0])]), []
    for run in runs[1:]:
        under_way.append(engine.start(run))
        found.append(under_way.popleft()())
    found.append(under_way.popleft()())
    return np.concatenate(found)


def _providers(device: DeviceName, precision: PrecisionName) -> Providers:
    return choose(device, precision, onnxruntime.get_available_providers(), cuda_trouble)


def _capturing(providers: Providers) -> Providers:
    """Return the same with CUDA graphs; on CPU the engine keeps its books on them, and nothing is captured."""
    return with_cuda_graphs(providers) if providers.device == "cuda" else replace(providers, cuda_graphs=True)


def _manifest(files: ModelFiles) -> Manifest:
    if files.manifest is None or files.manifest.tail is None:
        raise ConfigurationError(f"{files.source} has no graphs of ours: write one with `rerank-fleet export`")
    return files.manifest


def _graphs(files: ModelFiles, layout: LayoutName) -> tuple[Path, Path]:
    manifest = _manifest(files)
    return files.model_path.parent / manifest.layouts[layout], files.model_path.parent / (manifest.tail or "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.gpu")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="what `rerank-fleet export` wrote")
    parser.add_argument("--device", choices=["cuda", "tensorrt", "cpu"], default="cuda")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--quick", action="store_true", help="little work, to see that it runs")
    parser.add_argument("--unsafe", action="store_true", help="take models that passed no quality gate")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser


if __name__ == "__main__":
    sys.exit(main())
