"""The primary's death under steady load: what callers see until Sentinels name another. With TLS and users."""

from __future__ import annotations

import random
import sys
import tempfile
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pydantic import SecretStr

from rerank_dev.bench.ops.scale import Scale
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Arrival, Ended, Questions, latency_ms, play
from rerank_dev.sentinels import Watched, find_tls_server, watched
from rerank_ops.local.fleet import local_fleet
from rerank_ops.redis_acl import users
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings

PROCESSES = 2
#: What the names of these figures begin with.
NAME = "fail-over"
_K, _RPS, _DEADLINE_MS = 1, 10.0, 30_000.0
_PASSWORD = "bench"


def failover(settings: Settings, questions: Questions, scale: Scale) -> list[Figure]:
    """Return the requests that were sent and that failed, the seconds without an answer, and p99 before and after.

    Returns nothing, and says so, where no server with TLS is on the PATH.
    """
    if (binary := find_tls_server()) is None:
        print("failover: not measured, for want of a redis-server with TLS on the PATH", file=sys.stderr)
        return []
    sent, failed, gaps, before_ms, longest_s, after_ms = [], [], [], [], [], []
    for number in range(scale.failovers):
        ended = _round(binary, settings, questions, scale, number)
        sent.append(len(ended))
        failed.append(sum(not each.complete for each in ended))
        killed_s = scale.failover_s / 2
        last_s, first_s = gap_around(killed_s, [_end_s(each) for each in ended if each.complete])
        gaps.append(first_s - last_s)
        longest_s.append(max(each.latency_s for each in ended))
        before_ms.append(latency_ms([each for each in ended if _end_s(each) <= last_s], 0.99))
        after_ms.append(latency_ms([each for each in ended if each.arrival.at_s >= first_s], 0.99))
    return [
        Figure.of(f"{NAME}: requests sent", sent, "requests"),
        Figure.of(f"{NAME}: requests that failed", failed, "requests", "at most", 0),
        Figure.of(f"{NAME}: from the last answer before to the first after", gaps, "s"),
        Figure.of(f"{NAME}: the longest that a request took", longest_s, "s"),
        Figure.of(f"{NAME}: p99 before", before_ms, "ms"),
        Figure.of(f"{NAME}: p99 after", after_ms, "ms"),
    ]


def gap_around(killed_s: float, ends_s: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the longest time without an answer that reaches beyond the kill; seconds of one clock.

    An answer that was on its way may still come after the kill, so it is not simply the time around it.
    Raises ValueError where no answer came before or none after.
    """
    return max(
        ((last, first) for last, first in pairwise(sorted(ends_s)) if first >= killed_s),
        key=lambda gap: gap[1] - gap[0],
    )


def _round(binary: str, settings: Settings, questions: Questions, scale: Scale, number: int) -> list[Ended]:
    keys = Keys(settings.namespace)
    lines = "\n".join(user.line(f">{_PASSWORD}") for user in users(keys))
    with (
        tempfile.TemporaryDirectory(prefix="rerank-bench-") as directory,
        watched(binary, Path(directory), lines) as servers,
        local_fleet(_settings_of(settings, servers, "worker"), PROCESSES),
    ):
        client = _settings_of(settings, servers, "client")
        play(client, _arrivals(questions, 3.0, f"teach {number}"))
        timer = threading.Timer(scale.failover_s / 2, servers.kill_primary)
        try:
            ended, _ = play(client, _arrivals(questions, scale.failover_s, f"failover {number}"), timer.start)
        finally:
            timer.cancel()
        return ended


def _settings_of(settings: Settings, servers: Watched, role: str) -> Settings:
    url = servers.url(f"{settings.namespace}-{role}", _PASSWORD)
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def _arrivals(questions: Questions, seconds: float, mark: str) -> list[Arrival]:
    chance = random.Random(mark)
    return [
        Arrival(n / _RPS, questions.pick(chance, _K, f"{mark} {n}"), _DEADLINE_MS, 0)
        for n in range(round(seconds * _RPS))
    ]


def _end_s(ended: Ended) -> float:
    return ended.arrival.at_s + ended.latency_s
