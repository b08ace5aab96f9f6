"""Mixed load: the fleet as it is against one that takes what comes first, on the same arrivals, in turns.

First in, first out is the same code with no patience at all: a job is then as urgent as it is old, whatever its
deadline; it neither shards nor refuses.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import (
    PROCESSES,
    TIGHT,
    Ended,
    Questions,
    latency_ms,
    met_share,
    play,
    poisson,
)
from rerank_ops.local.fleet import local_fleet
from rerank_shared.settings import Settings

ROUNDS = 5
SECONDS = 50.0
LOAD = 0.7
TIGHT_SHARE = 0.2
FIFO = {"aging_s": 0.001, "shard": False, "refuse": False}


@dataclass(frozen=True, slots=True)
class Round:
    """One variant's run."""

    ended: list[Ended]
    seconds: float

    @property
    def pairs_per_s(self) -> float:
        """Pairs that the model ran."""
        return sum(each.pairs_run for each in self.ended) / self.seconds

    def tight_ms(self, share: float) -> float:
        """Return a percentile of the latency of tight requests."""
        return latency_ms((each for each in self.ended if each.arrival.tight), share)


def mixed(settings: Settings, questions: Questions, pairs_per_s: float) -> list[Figure]:
    """Return shares of deadlines met, and throughput; `pairs_per_s` is what the fleet of two runs when saturated."""
    fifo_settings = settings.model_copy(update={"namespace": f"{settings.namespace}-fifo", **FIFO})
    rounds: dict[str, list[Round]] = {"fifo": [], "fleet": []}
    with local_fleet(settings, PROCESSES) as fleet, local_fleet(fifo_settings, PROCESSES) as fifo:
        for number in range(ROUNDS):
            for name, chosen in (("fifo", fifo.settings), ("fleet", fleet.settings)):
                arrivals = poisson(
                    questions,
                    seed=number,
                    seconds=SECONDS,
                    load=LOAD,
                    pairs_per_s=pairs_per_s,
                    mark=f"{name} {number}",
                    tight_share=TIGHT_SHARE,
                )
                rounds[name].append(Round(*play(chosen, arrivals)))
    return _figures(rounds["fifo"], rounds["fleet"], f"load {LOAD:.0%}")


def _figures(fifo: list[Round], fleet: list[Round], at: str) -> list[Figure]:
    figures = []
    for kind, tight in (
        *((f"deadlines of {tight:g} times the run", tight) for tight in TIGHT),
        ("all deadlines", None),
    ):
        before = [met_share(each.ended, tight=tight) for each in fifo]
        after = [met_share(each.ended, tight=tight) for each in fleet]
        figures += [
            Figure.of(f"{kind} met, first in first out, {at}", before, "share"),
            Figure.of(f"{kind} met, {at}", after, "share"),
        ]
        if tight:
            ratio = statistics.fmean(after) / max(statistics.fmean(before), 1e-9)
            figures.append(Figure.of(f"{kind} met over first in first out, {at}", [ratio], "ratio", "at least", 1.5))
    speed = [new.pairs_per_s / old.pairs_per_s for new, old in zip(fleet, fifo, strict=True)]
    refused = [sum(each.refused for each in run.ended) / len(run.ended) for run in fleet]
    return [
        *figures,
        Figure.of(f"pairs/s over first in first out, {at}", speed, "ratio", "at least", 0.97),
        Figure.of(f"refused by admission, {at}", refused, "share"),
        Figure.of(f"p95 of tight requests, first in first out, {at}", [each.tight_ms(0.95) for each in fifo], "ms"),
        Figure.of(f"p95 of tight requests, {at}", [each.tight_ms(0.95) for each in fleet], "ms"),
    ]
