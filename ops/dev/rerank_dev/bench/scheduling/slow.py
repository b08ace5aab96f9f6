"""One slow process of two: whether it sets the tail, with admission by work and without.

The slow one shares its core with a program that never sleeps, as a noisy neighbour does. Without admission a process
takes as many jobs as it has threads, whatever it has in hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import PROCESSES, Questions, latency_ms, play, poisson
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_shared.settings import Settings

ROUNDS = 5
SECONDS = 40.0
#: One process is at full speed and the other at about a quarter of it.
LOAD = 0.4
_HOGS = 3
_SPIN = "while True: pass"
HOARDING = {"lookahead_ms": 3_600_000.0, "budget_tokens": 1_000_000, "concurrency": 4}


def slow(settings: Settings, questions: Questions, pairs_per_s: float) -> list[Figure]:
    """Return the 95th percentile of latency for both."""
    hoarding = settings.model_copy(update={"namespace": f"{settings.namespace}-hoard", **HOARDING})
    p95_ms: dict[str, list[float]] = {"hoard": [], "fleet": []}
    with local_fleet(settings, PROCESSES) as fleet, local_fleet(hoarding, PROCESSES) as other, _hogs(fleet):
        for number in range(ROUNDS):
            for name, chosen in (("hoard", other.settings), ("fleet", fleet.settings)):
                arrivals = poisson(
                    questions,
                    seed=100 + number,
                    seconds=SECONDS,
                    load=LOAD,
                    pairs_per_s=pairs_per_s,
                    mark=f"{name} {number}",
                )
                ended, _ = play(chosen.model_copy(update={"shard": False}), arrivals)
                p95_ms[name].append(latency_ms(ended, 0.95))
    ratios = [new / old for new, old in zip(p95_ms["fleet"], p95_ms["hoard"], strict=True)]
    return [
        Figure.of("p95 with one slow process of 2, over no admission", ratios, "ratio"),
        Figure.of("p95 with one slow process, no admission", p95_ms["hoard"], "ms"),
        Figure.of("p95 with one slow process", p95_ms["fleet"], "ms"),
    ]


@contextmanager
def _hogs(fleet: LocalFleet) -> Iterator[None]:
    """Keep the core of the last process busy with others."""
    core = max(os.sched_getaffinity(0))
    hogs = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(_HOGS)]
    try:
        for hog in hogs:
            os.sched_setaffinity(hog.pid, {core})
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
