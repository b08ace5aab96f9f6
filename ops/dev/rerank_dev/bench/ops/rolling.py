"""A rolling restart of all workers under steady load: what callers see of it, beside the same load without one."""

from __future__ import annotations

import random
import threading
import time

from rerank_dev.bench.ops.scale import Scale
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Arrival, Ended, Questions, play
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.simulate.report import percentile
from rerank_shared.settings import Settings

PROCESSES = 2
_K, _RPS, _DEADLINE_MS = 5, 1.5, 30_000.0
#: When the restart begins, in a round that has one.
_AT_S = 3.0
_POLL_S = 0.05


def rolling(settings: Settings, questions: Questions, scale: Scale) -> list[Figure]:
    """Return the share of requests that failed, and the 99th percentile of latency over that of the steady fleet."""
    failed, ratios, steady_ms, rolled_ms, took = [], [], [], [], []
    with local_fleet(settings, PROCESSES) as fleet:
        _round(fleet, questions, scale, "teach")
        for number in range(scale.rolls):
            calm = _round(fleet, questions, scale, f"steady {number}")
            seconds: list[float] = []
            watcher = threading.Thread(target=_roll, args=(fleet, seconds))
            watcher.start()
            rolled = _round(fleet, questions, scale, f"rolled {number}")
            watcher.join()
            took += seconds
            failed.append(sum(not each.complete for each in rolled))
            steady_ms.append(_p99_ms(calm))
            rolled_ms.append(_p99_ms(rolled))
            ratios.append(rolled_ms[-1] / steady_ms[-1])
    return [
        Figure.of("rolling restart: requests that failed", failed, "requests", "at most", 0),
        Figure.of("rolling restart: p99 over that of the steady fleet", ratios, "ratio", "at most", 2.0),
        Figure.of("rolling restart: p99", rolled_ms, "ms"),
        Figure.of("rolling restart: p99 of the steady fleet", steady_ms, "ms"),
        Figure.of("rolling restart: until both processes were replaced", took, "s"),
    ]


def _round(fleet: LocalFleet, questions: Questions, scale: Scale, mark: str) -> list[Ended]:
    """Send requests at a steady rate that one process alone can serve."""
    chance = random.Random(mark)
    count = round(scale.rolled_s * _RPS)
    arrivals = [
        Arrival(number / _RPS, questions.pick(chance, _K, f"{mark} {number}"), _DEADLINE_MS, 0)
        for number in range(count)
    ]
    ended, _ = play(fleet.settings, arrivals)
    return ended


def _roll(fleet: LocalFleet, took: list[float]) -> None:
    time.sleep(_AT_S)
    before, begun = set(fleet.supervisor.pids()), time.monotonic()
    fleet.supervisor.roll()
    while len(set(fleet.supervisor.pids()) - before) < PROCESSES:
        time.sleep(_POLL_S)
    took.append(time.monotonic() - begun)


def _p99_ms(ended: list[Ended]) -> float:
    return 1000 * percentile(sorted(each.latency_s for each in ended), 0.99)
