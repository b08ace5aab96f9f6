"""What a benchmark found: figures with their targets, as a table and as JSON. A miss is shown as a miss."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import onnxruntime
from rich.console import Console
from rich.table import Table

Bound = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `samples` holds what `value` is the median of, so that the noise can be seen."""

    name: str
    value: float
    unit: str
    target: str | None
    met: bool | None
    samples: list[float]
    machine: str

    @classmethod
    def of(cls, name: str, samples: Sequence[float], unit: str, bound: Bound | None = None, limit: float = 0.0) -> Self:
        """Return the median of `samples` as a figure, held against a limit if there is one."""
        value = statistics.median(samples)
        met = None if bound is None else (value >= limit if bound == "at least" else value <= limit)
        target = None if bound is None else f"{bound} {limit:g}"
        rounded = [round(sample, 4) for sample in samples]
        return cls(name, round(value, 4), unit, target, met, rounded, machine())


def merged(figures: Sequence[Figure], path: Path) -> list[Figure]:
    """Return what `path` holds of earlier parts, and the new figures in the place of those of the same names."""
    known = [Figure(**each) for each in json.loads(path.read_text())] if path.exists() else []
    names = {figure.name for figure in figures}
    return [figure for figure in known if figure.name not in names] + list(figures)


def machine() -> str:
    """Describe this machine and the versions that matter in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_processor()}, {cores} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}"
    )


def report(figures: Sequence[Figure], path: Path) -> None:
    """Print the figures as a table and write them as JSON to `path`."""
    table = Table("figure", "median", "unit", "target", "met", "lowest", "highest", "n", title=machine())
    for figure in figures:
        met = "" if figure.met is None else "yes" if figure.met else "[bold red]no[/]"
        low, high = f"{min(figure.samples):g}", f"{max(figure.samples):g}"
        row = (figure.name, f"{figure.value:g}", figure.unit, figure.target or "", met, low, high)
        table.add_row(*row, str(len(figure.samples)))
    Console(width=140).print(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    Console().print(f"written to {path}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
