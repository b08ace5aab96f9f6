"""Five hundred requests open at once on one gateway process, round after round: no error, and memory that stays.

Each client sends the next request when it has its answer, so as many are open all the time until the last few.
"""

from __future__ import annotations

from rerank_dev.bench.gateway.load import Load, Plan
from rerank_dev.bench.gateway.place import Place, cohere
from rerank_dev.bench.record import Figure

ROUNDS = 8
OPEN = 500
#: Requests a client sends in a round, and the candidates of each: few, so that many rounds fit into a minute.
EACH = 2
K = 1
LIMIT_MB = 5.0
_LOOK_S = 0.1


def open_requests(place: Place) -> list[Figure]:
    """Return errors, how many were open at once, and the gateway's memory."""
    failed, most_open, peaks_mb = list[float](), list[float](), list[float]()
    with place.gateway("open") as gateway, Load() as load:
        # One request, so that what is made once is there.
        load.drive(Plan(gateway.url, [cohere(gateway.url, query) for query in place.queries(3, 1, K)], 1)).flawless()
        idle_mb = gateway.rss_mb()
        for number in range(ROUNDS):
            queries = place.queries(3, OPEN * EACH, K, f"open {number}")
            load.begin(Plan(gateway.url, [cohere(gateway.url, query) for query in queries], OPEN))
            peak_mb = idle_mb
            while load.running(_LOOK_S):
                peak_mb = max(peak_mb, gateway.rss_mb())
            driven = load.end()
            failed.append(len(driven.failures))
            most_open.append(driven.most_open)
            peaks_mb.append(peak_mb)
    half = ROUNDS // 2
    growth = [later - earlier for earlier, later in zip(peaks_mb[:half], peaks_mb[-half:], strict=True)]
    name = f"{OPEN} open on one process"
    return [
        Figure.of(f"{name}: open at once", most_open, "requests", "at least", OPEN),
        Figure.of(f"{name}: errors and incomplete answers a round", failed, "requests", "at most", 0),
        Figure.of(f"{name}: memory over that when idle", [peak - idle_mb for peak in peaks_mb], "MB"),
        Figure.of(f"{name}: its growth over {half} rounds", growth, "MB", "at most", LIMIT_MB),
    ]
