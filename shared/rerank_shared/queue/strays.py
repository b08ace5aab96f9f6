"""Strays: jobs on a queue whose workers don't serve their model. They are filed where it is served.

The common queue has jobs of any model: plain Celery senders, clients of earlier releases, and clients that know no live
worker of their model send there. The queue of a pool that is over has jobs that its workers left behind.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.queue.envelopes import address, job_in
from rerank_shared.queue.job_queue import queue_of
from rerank_shared.queue.urgency_headers import read_urgency

_JOBS_A_CALL = 100


def file_taken(client: Any, keys: Keys, source: str, target: str, tag: str) -> bool:
    """Move a job that was taken from the queue `source` to the queue `target`; return whether its lease was held."""
    entry = client.hget(keys.unacked, tag)
    return entry is not None and _move(client, keys, source, target, tag, entry.split(b"|", 2)[2])


def leave_to(client: Any, keys: Keys, pool: str, successor: str, model: str | None = None) -> int:
    """Move the waiting jobs of a pool to its successor, '' for the common queue; return their number.

    `model`: only those that ask for this name.
    """
    source, target = keys.of(pool), keys.of(successor)
    moved = 0
    for job_class in JOB_CLASSES:
        for tag, entry in _waiting(client, source.waiting(job_class)):
            queues, message = (source.queue(job_class), target.queue(job_class)), entry.split(b"|", 1)[1]
            if model is None or model == _asked(message):
                moved += _move(client, keys, *queues, tag.decode(), message)
    return moved


def _asked(message: bytes) -> str | None:
    """Return the name of the model that a waiting message asks for, None where that can't be read."""
    job = read_or_none("message of a waiting job", job_in, message)
    return None if job is None else job.model


def _waiting(client: Any, key: str) -> Iterator[tuple[bytes, bytes]]:
    yield from client.hscan_iter(key, count=_JOBS_A_CALL)


def _move(client: Any, keys: Keys, source: str, target: str, tag: str, message: bytes) -> bool:
    envelope = json.loads(message)
    urgency = read_urgency(envelope.get("headers") or {}, time.time())
    address(envelope, target)
    return queue_of(keys).refile(client, source, target, tag, json.dumps(envelope), urgency)
