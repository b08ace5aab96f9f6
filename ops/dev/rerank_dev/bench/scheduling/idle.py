"""One large request on an idle fleet of two processes: in two parts against in one, in turns."""

from __future__ import annotations

import random
import time

from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Query, Questions
from rerank_ops.local.fleet import local_fleet
from rerank_producer import RerankClient
from rerank_shared.settings import Settings

ROUNDS = 15
K = 100


def idle(settings: Settings, questions: Questions) -> list[Figure]:
    """Return the latencies and their ratio."""
    chance = random.Random(1)
    whole_ms, parts_ms = [], []
    with local_fleet(settings, 2) as fleet:
        changed = [fleet.settings.model_copy(update={"shard": shard}) for shard in (False, True)]
        with RerankClient(changed[0]) as one, RerankClient(changed[1]) as several:
            for number in range(ROUNDS + 1):
                query = questions.pick(chance, K)
                whole_ms.append(_timed_ms(one, query, f"whole {number}", processes=1))
                parts_ms.append(_timed_ms(several, query, f"parts {number}", processes=2))
    # The first round connects.
    ratios = [parts / whole for parts, whole in zip(parts_ms[1:], whole_ms[1:], strict=True)]
    return [
        Figure.of(f"two parts over one, idle fleet of 2, k={K}", ratios, "ratio", "at most", 0.62),
        Figure.of(f"in one part, k={K}", whole_ms[1:], "ms"),
        Figure.of(f"in two parts, k={K}", parts_ms[1:], "ms"),
    ]


def _timed_ms(client: RerankClient, query: Query, mark: str, processes: int) -> float:
    started = time.perf_counter()
    response = client.rerank(f"{mark} {query.text}", query.documents, deadline_ms=120_000, partial=False)
    took_ms = (time.perf_counter() - started) * 1000
    if mark.split()[1] != "0" and len(response.workers) != processes:
        raise AssertionError(f"{len(response.workers)} processes scored what {processes} should have")
    return took_ms
