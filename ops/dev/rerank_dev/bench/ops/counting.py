"""The cost of counting: what a process spends on its activity, as a share of the runs that it counts."""

from __future__ import annotations

import time
from collections.abc import Callable

from rerank_dev.bench.ops.scale import Scale
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Questions
from rerank_ops.local.redis_server import ensure_server
from rerank_shared.keys import HEARTBEAT_INTERVAL_S, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from rerank_shared.watch.activity import add_activity
from rerank_worker.batching.batcher import WaitingPair
from rerank_worker.batching.busy import BusySeconds

_TIMES, _ROUNDS = 2_000, 7
#: Shortest runs that the fleet makes: a few short pairs on a fast core.
_RUN_S = 0.005


def counting(settings: Settings, _: Questions, scale: Scale) -> list[Figure]:
    """Return the seconds of counting a run and a heartbeat, and the share of a busy process's time."""
    busy = BusySeconds()
    pairs = [WaitingPair(bytes([n]), 80, 0.0, 0.0, 0.0, n, "interactive") for n in range(4)]
    runs_us = _timed_us(lambda: busy.add(pairs, _RUN_S))
    with ensure_server(settings) as effective, connect(effective) as redis:
        keys = Keys(effective.namespace)

        def beat(*, counted: bool) -> None:
            pipe = redis.pipeline(transaction=False)
            pipe.time()
            if counted:
                add_activity(pipe, keys, time.time(), 1.0, {"interactive": 0.5, "bulk": 0.0})
            pipe.execute()

        beats_us = [
            with_it - without
            for with_it, without in zip(
                _timed_us(lambda: beat(counted=True)), _timed_us(lambda: beat(counted=False)), strict=True
            )
        ]
    shares = [
        run_us / 1e6 / _RUN_S + beat_us / 1e6 / HEARTBEAT_INTERVAL_S
        for run_us, beat_us in zip(runs_us, beats_us, strict=True)
    ]
    return [
        Figure.of("counting of activity, a run", runs_us, "us"),
        Figure.of("counting of activity, a heartbeat", beats_us, "us"),
        Figure.of("counting of activity, share of a process whose runs take 5 ms", shares, "share", "at most", 0.01),
    ]


def _timed_us(act: Callable[[], None]) -> list[float]:
    found = []
    for _ in range(_ROUNDS):
        # The time of this thread alone: neighbours on the machine are not its cost.
        begun = time.thread_time()
        for _ in range(_TIMES):
            act()
        found.append((time.thread_time() - begun) / _TIMES * 1e6)
    return found
