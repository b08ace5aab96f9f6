"""Lease release: ends the leases and the heartbeat of a dead worker process.

So other workers take its jobs at once, and nobody counts on it. Best effort: without it both run out by themselves. The
supervisor never waits for it.
"""

from __future__ import annotations

import logging
import threading

from rerank_shared.fleet import deregister_dead
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.redis.outage import outage_of
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
_TIMEOUT_S = 1.0


def release_leases_soon(settings: Settings, worker_id: str) -> None:
    """End the leases that a dead worker process held, and its heartbeat, on a thread of its own."""
    threading.Thread(target=_expire, args=(settings, worker_id), name=f"expire-{worker_id}", daemon=True).start()


def _expire(settings: Settings, worker_id: str) -> None:
    keys = Keys(settings.namespace)
    try:
        with connect(settings, timeout_s=_TIMEOUT_S) as client:
            jobs = JobQueue(keys).expire(client, worker_id)
            deregister_dead(client, keys, worker_id)
    except OUTAGES_AND_REFUSALS as error:
        log.info("leases not released, they run out by themselves name=%s: redis %s", worker_id, outage_of(error).says)
        return
    if jobs:
        log.warning("leases of a dead worker released name=%s jobs=%d", worker_id, jobs)
