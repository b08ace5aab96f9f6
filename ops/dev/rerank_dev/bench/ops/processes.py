"""Waits for a fleet to have as many processes as a measurement needs."""

from __future__ import annotations

import time

from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import read_signal

POLL_S = 0.02


def wait_for_processes(settings: Settings, count: int) -> None:
    """Return once exactly so many worker processes are alive."""
    with connect(settings) as redis:
        while len(read_signal(redis, settings).state.workers) != count:
            time.sleep(POLL_S)
