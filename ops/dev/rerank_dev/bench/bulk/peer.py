"""The command beside a plain script of the same weights: pairs a second, and what one kill at half-way costs each.

Lost is what a run with the kill took beyond one without. Both are killed when half of the rows are done, the script by
the clock of its last run, since it leaves nothing to see. Starting again is in both times.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rerank_dev.bench.bulk import plain_script
from rerank_dev.bench.bulk.command import BulkCommand, run_to_end
from rerank_dev.bench.bulk.place import PEER_MODEL, Place
from rerank_dev.bench.record import Figure
from rerank_shared.settings import bare_environ

NAME = "sentence-transformers in a plain script"


@dataclass(frozen=True, slots=True)
class _Run:
    wall_s: float
    loading_s: float
    pairs_per_s: float


def peer(place: Place) -> list[Figure]:
    """Return rates, their ratio and losses; those of the script only where its environment is."""
    reason = _missing(place)
    if reason:
        Console().print(f"skipped, the plain script: {reason}")
    rates: dict[str, list[float]] = {"bulk": [], NAME: []}
    lost: dict[str, list[float]] = {"bulk": [], NAME: []}
    scale = place.scale
    for number in range(scale.rounds):
        source = place.rows(f"whole {number}", scale.peer_rows, scale.documents)
        whole = run_to_end(place.settings, source, source.with_suffix(".out.jsonl"))
        killed = place.rows(f"killed {number}", scale.peer_rows, scale.documents)
        rates["bulk"].append(whole.pairs_per_s)
        lost["bulk"].append(_killed(place, killed) - whole.wall_s)
        if not reason:
            run = _script(place, source)
            rates[NAME].append(run.pairs_per_s)
            lost[NAME].append(_script_killed(place, source, run) - run.wall_s)
    many = f"{scale.peer_rows} rows of {scale.documents}"
    figures = []
    for name in (name for name in rates if rates[name]):
        figures += [
            Figure.of(f"{name}: {many}", rates[name], "pairs/s"),
            Figure.of(f"{name}: lost to a kill at half-way, {many}", lost[name], "s"),
        ]
    if not reason:
        ahead = [ours / theirs for ours, theirs in zip(rates["bulk"], rates[NAME], strict=True)]
        figures.append(Figure.of(f"bulk ahead of {NAME}", ahead, "x"))
    return figures


def _killed(place: Place, source: Path) -> float:
    """Return the seconds that a run takes with a kill at half-way."""
    output, options = source.with_suffix(".out.jsonl"), ("--chunk-bytes", "1")
    first = BulkCommand(place.settings, source, output, *options)
    first.wait_for(place.scale.peer_rows // 2)
    spent_s = first.kill()
    return spent_s + run_to_end(place.settings, source, output, *options).wall_s


def _missing(place: Place) -> str | None:
    if not place.peers_python.exists():
        return f"{place.peers_python} is not there; `make bench-engine-peers` makes it"
    if not (PEER_MODEL / "config.json").exists():
        return f"{PEER_MODEL} is not there; `make bench-engine` makes it"
    return None


def _start(place: Place, source: Path) -> subprocess.Popen[str]:
    command = [place.peers_python, plain_script.__file__, PEER_MODEL, source, source.with_suffix(".peer.jsonl")]
    environ = bare_environ() | {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen([str(each) for each in command], env=environ, stdout=subprocess.PIPE, text=True)


def _script(place: Place, source: Path) -> _Run:
    started = time.perf_counter()
    process = _start(place, source)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the plain script did not start; its last words are above")
    loading_s = time.perf_counter() - started
    answer = json.loads(process.communicate()[0])
    return _Run(time.perf_counter() - started, loading_s, answer["pairs"] / answer["seconds"])


def _script_killed(place: Place, source: Path, before: _Run) -> float:
    started = time.perf_counter()
    process = _start(place, source)
    time.sleep(before.loading_s + (before.wall_s - before.loading_s) / 2)
    process.kill()
    process.communicate()
    return time.perf_counter() - started + _script(place, source).wall_s
