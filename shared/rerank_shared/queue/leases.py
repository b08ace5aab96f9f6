"""Leases of taken jobs from outside a channel: a worker renews its own, a supervisor ends those of a dead child.

Times are the server's, so no worker's clock can keep or end a lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rerank_shared.keys import Keys
from rerank_shared.queue.scripts import EXPIRE, RENEW


def renew_leases(pipe: Any, keys: Keys, tags: Iterable[str]) -> Any:
    """Renew the leases of these delivery tags, at least one, on a client or a pipeline.

    A lease that no longer exists is not made again: its job was finished, or given to another worker. The answer is the
    number of such leases.
    """
    return pipe.eval(RENEW.text, 1, keys.leases, *tags)


def expire_leases(client: Any, keys: Keys, worker_id: str) -> int:
    """End the leases of all jobs that a dead worker held, which is a death of each; return the number of jobs.

    The next sweep of any other worker, within a second, lets them wait again.
    """
    return int(EXPIRE(client, [keys.leases, keys.lease_owners], worker_id))


def settle(pipe: Any, keys: Keys, tag: str, job_id: str | None = None) -> None:
    """Queue the acknowledgement of a job on a pipeline; with `job_id`, its deaths are deleted too."""
    pipe.hdel(keys.unacked, tag)
    pipe.zrem(keys.leases, tag)
    pipe.hdel(keys.lease_owners, tag)
    if job_id is not None:
        pipe.delete(keys.deaths(job_id))
