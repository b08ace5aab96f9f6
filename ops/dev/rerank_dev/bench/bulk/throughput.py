"""Pairs a second of the command, against as many bare engines as the fleet has processes, on the same cores, in turns.

The engines have the machine to themselves: the fleet that waits runs nothing. The command shares its cores with the
workers that it feeds, and with the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rerank_dev.bench.bulk.command import run_to_end
from rerank_dev.bench.bulk.place import Place
from rerank_dev.bench.record import Figure
from rerank_shared.settings import bare_environ, to_environ
from rerank_worker.supervisor.cores import pinnable_cores, spread

LIMIT = 0.95


def throughput(place: Place) -> list[Figure]:
    """Return both rates and their ratio."""
    ours, bare, walls = [], [], []
    scale = place.scale
    for number in range(scale.rounds):
        source = place.rows(f"round {number}", scale.rows, scale.documents)
        bare.append(_engines(place, source))
        finished = run_to_end(place.settings, source, source.with_suffix(".out.jsonl"))
        ours.append(finished.pairs_per_s)
        walls.append(finished.summary["pairs"] / finished.wall_s)
    ratios = [command / engine for command, engine in zip(ours, bare, strict=True)]
    many = f"{scale.rows} rows of {scale.documents}"
    return [
        Figure.of("bulk over bare engine", ratios, "ratio", "at least", LIMIT),
        Figure.of(f"bulk, {many}", ours, "pairs/s"),
        Figure.of(f"bulk, {many}, start of the command included", walls, "pairs/s"),
        Figure.of(f"bare engine, a process a core, {many}", bare, "pairs/s"),
    ]


def _engines(place: Place, source: Path) -> float:
    """Return the pairs a second of all engines together, from their common start to the end of the last."""
    count = place.fleet.processes
    environ = bare_environ() | to_environ(place.settings) | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    module = [sys.executable, "-m", "rerank_dev.bench.bulk.engine_loop", str(source)]
    running = [
        subprocess.Popen(
            [*module, str(part), str(count), str(-1 if core is None else core)],
            env=environ | {"PYTHONPATH": ":".join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for part, core in enumerate(spread(count, pinnable_cores()))
    ]
    for process in running:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("a bare engine did not start; its last words are above")
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in running]
    return float(sum(each["pairs"] for each in answers) / max(each["seconds"] for each in answers))
