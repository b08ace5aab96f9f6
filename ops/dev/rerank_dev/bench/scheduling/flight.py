"""Single flight: what it saves where people ask the same things, and what it costs where they don't.

A log of questions by Zipf's law on a cold cache, faster than the fleet could answer if each were new; then questions
that nobody repeats, one at a time.
"""

from __future__ import annotations

import random
import statistics
from functools import partial

from rerank_dev.bench.fleet import clear_cache, timed_ms
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import PROCESSES, Arrival, Query, Questions, latency_ms, play
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_producer import RerankClient
from rerank_shared.settings import Settings

ROUNDS = 5
SECONDS = 15.0
K = 20
#: Of the exponents that are found for logs of web queries, 0.6 to 1.1, a high one.
EXPONENT = 1.0
UNIQUE = 30


def flight(settings: Settings, questions: Questions, pairs_per_s: float) -> list[Figure]:
    """Return pairs run, latency and the cost of asking in vain, with single flight over without."""
    pairs: list[float] = []
    p95: list[float] = []
    unique: list[float] = []
    with local_fleet(settings, PROCESSES) as fleet:
        for number in range(ROUNDS):
            runs = [_zipf(fleet, questions, pairs_per_s, number, single) for single in (False, True)]
            pairs.append(runs[1][0] / runs[0][0])
            p95.append(runs[1][1] / runs[0][1])
            costs = [_unique_ms(fleet, questions, number, single) for single in (False, True)]
            unique.append(costs[1] - costs[0])
    return [
        Figure.of("single flight: pairs run of a Zipf log, cold cache", pairs, "ratio"),
        Figure.of("single flight: p95 of it", p95, "ratio"),
        Figure.of("single flight: added where nothing repeats, k=20", unique, "ms"),
    ]


def _zipf(
    fleet: LocalFleet, questions: Questions, pairs_per_s: float, number: int, single: bool
) -> tuple[float, float]:
    clear_cache(fleet)
    chance, asked = random.Random(number), list(questions)
    weights = [1 / rank**EXPONENT for rank in range(1, len(asked) + 1)]
    rps = 2 * pairs_per_s / K
    arrivals, at_s = [], 0.0
    while at_s < SECONDS:
        (query,) = chance.choices(asked, weights)
        # Another word for each round and variant, or the text caches of workers would help the later ones.
        marked = Query(f"{number} {single} {query.text}", query.documents[:K])
        arrivals.append(Arrival(at_s, marked, 60_000.0, tight=0.0))
        at_s += chance.expovariate(rps)
    ended, _ = play(_with(fleet, single), arrivals)
    return sum(each.pairs_run for each in ended), latency_ms(ended, 0.95)


def _unique_ms(fleet: LocalFleet, questions: Questions, number: int, single: bool) -> float:
    chance, times = random.Random(number), []
    with RerankClient(_with(fleet, single)) as client:
        for index in range(UNIQUE):
            query = questions.pick(chance, K, f"{number} {single} {index}")
            times.append(
                timed_ms(partial(client.rerank, query.text, query.documents, deadline_ms=60_000, partial=False))
            )
    return statistics.median(times[2:])


def _with(fleet: LocalFleet, single: bool) -> Settings:
    return fleet.settings.model_copy(update={"single_flight": single})
