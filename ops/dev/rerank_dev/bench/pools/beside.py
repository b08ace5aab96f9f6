"""What the small model's callers notice of the big one: their p95 while that is saturated in bulk, and alone, in turns.

Both models in one process, which shares its time, and each in a process of its own, where only machine and Redis are
shared. The same arrivals in both: requests come when they come, whatever became of those before.
"""

from __future__ import annotations

import random
import time

from rerank_dev.bench.pools.place import Place, told
from rerank_dev.bench.pools.saturating import Saturating
from rerank_dev.bench.pools.workers import Workers
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Arrival, latency_ms, play
from rerank_producer import RerankClient
from rerank_shared.settings import Settings

LIMIT = 1.3
#: Candidates of the small model's requests, and what share of its throughput they take.
K, LOAD = 20, 0.3
#: Bulk requests in flight, so many that the process never waits for one. They are small, to be counted finely.
_IN_FLIGHT, _BULK_K = 8, 5
_PATIENT_MS, _CALIBRATION_PAIRS = 60_000.0, 100


def beside(place: Place) -> list[Figure]:
    """Return the p95 of both, their ratio, and what the big model did meanwhile, for one process and for two."""
    models = (place.small, place.big)
    one = place.settings("beside-one", models=models)
    with Workers(one, place.work) as workers:
        workers.start()
        figures = _measured(place, one, "in one process")
    two = place.settings("beside-two", model=place.small)
    with Workers(two, place.work) as workers:
        workers.start()
        workers.start(model=place.big)
        return [*figures, *_measured(place, two, "each in its process")]


def _measured(place: Place, settings: Settings, how: str) -> list[Figure]:
    rate = _pairs_per_s(place, settings) * LOAD / K
    alone, next_to, bulk = list[float](), list[float](), list[float]()
    for number in range(place.scale.rounds):
        ended, _ = play(settings, _arrivals(place, number, rate, f"alone {number}"))
        alone.append(latency_ms(ended, 0.95))
        with Saturating(settings, place.big, place.queries("bulk", 50, _BULK_K), _IN_FLIGHT, "bulk") as load:
            before = load.ran()
            ended, _ = play(settings, _arrivals(place, number, rate, f"beside {number}"))
            bulk.append(before.pairs_per_s(load.ran()))
        next_to.append(latency_ms(ended, 0.95))
    ratios = [more / less for more, less in zip(next_to, alone, strict=True)]
    small, big = told(place.small), told(place.big)
    at = f"{how}: {small}, k={K}, load {LOAD:.0%}"
    return [
        Figure.of(f"beside, {at}: p95 beside {big} saturated in bulk over alone", ratios, "ratio", "at most", LIMIT),
        Figure.of(f"beside, {at}: p95 alone", alone, "ms"),
        Figure.of(f"beside, {at}: p95 beside", next_to, "ms"),
        Figure.of(f"beside, {how}: {big} in bulk meanwhile", bulk, "pairs/s"),
    ]


def _arrivals(place: Place, seed: int, per_s: float, mark: str) -> list[Arrival]:
    chance, found, at_s = random.Random(seed), list[Arrival](), 0.0
    while (at_s := at_s + chance.expovariate(per_s)) < place.scale.seconds or not found:
        query = place.questions.pick(chance, K, f"{mark} {len(found)}")
        found.append(Arrival(at_s, query, _PATIENT_MS, 0, place.small))
    return found


def _pairs_per_s(place: Place, settings: Settings) -> float:
    """Return what the small model runs in one process, roughly, by one large request."""
    (query,) = place.queries("calibrate", 1, _CALIBRATION_PAIRS)
    with RerankClient(settings) as client:
        for mark in ("connect", "measure"):
            started = time.perf_counter()
            client.rerank(f"{mark} {query.text}", query.documents, model=place.small, deadline_ms=_PATIENT_MS)
            seconds = time.perf_counter() - started
    return len(query.documents) / seconds
