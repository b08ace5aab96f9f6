"""Several processes of our engine: throughput of two, one request split over two, memory of eight, the first request.

With a kernel, the memory of eight is told without it too. Each process is the engine and its tokenizer only, on one
thread, as ready as a worker that says so; memory is that of a whole fleet.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_dev.bench.engine.children import Child, runner_command
from rerank_dev.bench.engine.lineup.contenders import OPERATORS
from rerank_dev.bench.engine.lineup.models import BenchModel
from rerank_dev.bench.engine.place import Place
from rerank_dev.bench.engine.texts import Request
from rerank_dev.bench.record import Figure
from rerank_ops.local.fleet import local_fleet
from rerank_producer import RerankClient
from rerank_shared.settings import load_settings
from rerank_worker.supervisor.cores import affinity

PROCESSES = 8
MB_PER_PROCESS = 60
#: What a kernel may add to a whole fleet of them.
KERNEL_MB = 60
_STEADY_RUNS = 5
_WEIGHTS = frozenset({".onnx", ".bin", ".data"})


@dataclass(frozen=True, slots=True)
class Engines:
    """How to start processes of our int8 engine over some requests; `kernel` as RERANK_KERNEL."""

    place: Place
    model: BenchModel
    requests: Path
    kernel: str

    @property
    def directory(self) -> Path:
        """The files that they open."""
        return self.place.root(self.model) / "ours-int8"

    def start(self, core: int, name: str) -> Child:
        """Start one; it is ready when its first answer has come."""
        command = runner_command(
            self.place.python(True), "ours", self.directory, self.requests, core, layout="unpadded", kernel=self.kernel
        )
        return Child(command, self.place.log(f"{self.model.name}-{name}"))


def run_processes(engines: Engines, requests: Sequence[Request], rounds: int) -> list[Figure]:
    """Measure it all; the two-process figures only where there are two cores. Raises ContenderFailed."""
    cores = affinity()
    figures = first_requests(engines, len(requests), rounds)
    if len(cores) > 1:
        figures += two_processes(engines, requests, rounds, (cores[0], cores[1]))
    return figures + memory(engines, requests)


def two_processes(engines: Engines, requests: Sequence[Request], rounds: int, cores: tuple[int, int]) -> list[Figure]:
    """Compare two pinned processes with one, in turns: both on a request each, then both on the halves of one."""
    throughput, split = [], []
    with ExitStack() as stack:
        pair = [stack.enter_context(engines.start(core, f"pair-{core}")) for core in cores]
        for child in pair:
            child.receive()
        for number in range(rounds):
            run = number % len(requests)
            whole: dict[str, Any] = {"run": run}
            alone_s = statistics.mean(together_s([child], [whole]) for child in pair)
            throughput.append(2 * alone_s / together_s(pair, [whole, whole]))
            halves = [whole | {"documents": part} for part in split_by_tokens(requests[run].tokens, 2)]
            split.append(alone_s / together_s(pair, halves))
    name = engines.model.name
    return [
        Figure.of(f"{name}: throughput of two processes over one", throughput, "x", "at least", 1.9),
        Figure.of(f"{name}: one request split over two processes, over one", split, "x", "at least", 1.6),
    ]


def first_requests(engines: Engines, requests: int, rounds: int) -> list[Figure]:
    """Start processes one after another; hold the first request of each against the same one later."""
    ready, ratios = [], []
    for number in range(rounds):
        started = time.perf_counter()
        with engines.start(engines.place.core, "first") as child:
            child.receive()
            ready.append(time.perf_counter() - started)
            message = {"run": number % requests}
            first = child.ask(message)["seconds"]
            ratios.append(first / statistics.median(child.ask(message)["seconds"] for _ in range(_STEADY_RUNS)))
    name = engines.model.name
    return [
        Figure.of(f"{name}: first request after ready over the same one later", ratios, "x", "at most", 1.2),
        Figure.of(f"{name}: from start to ready, warm-up included", ready, "s", "at most", 2.0),
    ]


def memory(engines: Engines, requests: Sequence[Request]) -> list[Figure]:
    """Return the memory of a fleet of eight workers, and what of it a kernel adds; none where the system tells none."""
    beyond_mb = fleet_mb(engines, requests, engines.kernel)
    if beyond_mb is None:
        return []
    name = f"{engines.model.name}: memory of a fleet of {PROCESSES} workers beyond the weights"
    found = [
        Figure.of(f"{name} ({weights_mb(engines):.0f} MB)", [beyond_mb], "MB", "at most", PROCESSES * MB_PER_PROCESS)
    ]
    if engines.kernel == OPERATORS or (without_mb := fleet_mb(engines, requests, OPERATORS)) is None:
        return found
    return [
        *found,
        Figure.of(f"{name}, without a kernel", [without_mb], "MB"),
        Figure.of(f"{name}, added by the kernel", [beyond_mb - without_mb], "MB", "at most", KERNEL_MB),
    ]


def fleet_mb(engines: Engines, requests: Sequence[Request], kernel: str) -> float | None:
    """Run all requests on a whole fleet of eight workers; sum its memory, less the weights; the server does not count.

    Shared pages count by their share. The fleet is as `rerank-fleet up` starts it, Celery and connections included.
    """
    directory = engines.directory
    settings = load_settings(
        model=f"file:{directory}",
        unsafe=True,
        kernel=kernel,
        packed_dir=str(directory.parent / "packed"),
        log_level="WARNING",
    )
    with local_fleet(settings, PROCESSES) as fleet, RerankClient(fleet.settings) as client:
        for request in requests:
            client.rerank(request.query, request.documents)
        sizes = [pss_mb(pid) for pid in worker_processes(os.getpid())]
    known = [size for size in sizes if size is not None]
    return sum(known) - weights_mb(engines) if len(known) == len(sizes) else None


def weights_mb(engines: Engines) -> float:
    """Return the size of the artefact's graphs and weights."""
    return sum(file.stat().st_size for file in engines.directory.iterdir() if file.suffix in _WEIGHTS) / 1e6


def worker_processes(ancestor: int) -> list[int]:
    """Return the ids of all processes of workers below one: themselves, and what they were forked from."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in brackets, may hold anything; the parent's id is the second field behind it.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, seen = [], {ancestor}
    while below := {pid for pid, parent in parents.items() if parent in seen} - seen:
        seen |= below
        found += [pid for pid in below if b"rerank_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return sorted(found)


def together_s(children: Sequence[Child], messages: Sequence[dict[str, Any]]) -> float:
    """Return the time until all children, running at once, have answered."""
    started = time.perf_counter()
    for child, message in zip(children, messages, strict=True):
        child.send(message)
    for child in children:
        child.receive()
    return time.perf_counter() - started


def split_by_tokens(tokens: Sequence[int], parts: int) -> list[list[int]]:
    """Return the indices of each part: the longest pair first, always to the part with the fewest tokens."""
    shares: list[list[int]] = [[] for _ in range(parts)]
    totals = [0] * parts
    for index in sorted(range(len(tokens)), key=lambda i: -tokens[i]):
        part = totals.index(min(totals))
        shares[part].append(index)
        totals[part] += tokens[index]
    return shares


def pss_mb(pid: int) -> float | None:
    """Return the proportional set size of a process; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)
    return None if kilobytes is None else kilobytes * 1024 / 1e6
