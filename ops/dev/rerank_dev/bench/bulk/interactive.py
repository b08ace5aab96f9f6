"""The latency of interactive requests while a bulk run takes all that they leave, against without it, in turns.

The same arrivals in both; requests come when they come, whatever became of those before.
"""

from __future__ import annotations

import time

from rerank_dev.bench.bulk.command import BulkCommand
from rerank_dev.bench.bulk.place import Place
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Arrival, latency_ms, play, poisson
from rerank_producer import RerankClient

LIMIT = 1.3
#: Of what the fleet runs when saturated.
LOAD = 0.3
_CALIBRATION_PAIRS = 100


def interactive(place: Place) -> list[Figure]:
    """Return p50 and p95 of both, their ratio, and what the bulk run did meanwhile."""
    scale, pairs_per_s = place.scale, _pairs_per_s(place)
    # More than it can do in all rounds together.
    count = 10 + int(2 * scale.rounds * scale.seconds * pairs_per_s / scale.documents)
    source = place.rows("beside", count, scale.documents)
    alone: dict[float, list[float]] = {0.5: [], 0.95: []}
    beside: dict[float, list[float]] = {0.5: [], 0.95: []}
    bulk_rates = []
    for number in range(scale.rounds):
        ended, _ = play(place.settings, _arrivals(place, number, pairs_per_s, f"alone {number}"))
        for share, found in alone.items():
            found.append(latency_ms(ended, share))
        # Each round goes on with the run that the round before has killed.
        bulk = BulkCommand(place.settings, source, source.with_suffix(".out.jsonl"), "--chunk-bytes", "10000")
        before = bulk.rows()
        bulk.wait_for(before + 1)
        before, started = bulk.rows(), time.perf_counter()
        ended, _ = play(place.settings, _arrivals(place, number, pairs_per_s, f"beside {number}"))
        bulk_rates.append((bulk.rows() - before) * scale.documents / (time.perf_counter() - started))
        bulk.kill()
        for share, found in beside.items():
            found.append(latency_ms(ended, share))
    ratios = [more / less for more, less in zip(beside[0.95], alone[0.95], strict=True)]
    at = f"interactive load {LOAD:.0%}"
    return [
        Figure.of(f"p95 beside a bulk run over alone, {at}", ratios, "ratio", "at most", LIMIT),
        Figure.of(f"p95 alone, {at}", alone[0.95], "ms"),
        Figure.of(f"p95 beside a bulk run, {at}", beside[0.95], "ms"),
        Figure.of(f"p50 alone, {at}", alone[0.5], "ms"),
        Figure.of(f"p50 beside a bulk run, {at}", beside[0.5], "ms"),
        Figure.of(f"bulk beside {at}", bulk_rates, "pairs/s"),
    ]


def _arrivals(place: Place, seed: int, pairs_per_s: float, mark: str) -> list[Arrival]:
    return poisson(
        place.questions, seed=seed, seconds=place.scale.seconds, load=LOAD, pairs_per_s=pairs_per_s, mark=mark
    )


def _pairs_per_s(place: Place) -> float:
    """Return what the fleet runs when saturated, roughly: one large request in as many parts as it has processes."""
    query = next(iter(place.questions))
    with RerankClient(place.settings) as client:
        for mark in ("connect", "measure"):
            started = time.perf_counter()
            client.rerank(f"{mark} {query.text}", query.documents[:_CALIBRATION_PAIRS], deadline_ms=120_000)
            seconds = time.perf_counter() - started
    return min(_CALIBRATION_PAIRS, len(query.documents)) / seconds
