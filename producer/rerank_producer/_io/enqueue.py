"""Enqueue: stores the jobs of a request by one call of a script, all of it or nothing.

Each job adds its message, its text where that is large, its backlog entry, and a wake-up. A submitted request adds its
record; single flight adds the claims on its pairs.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer._io.envelope import seal
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import SealedJob, StoredValue, queue_of
from rerank_shared.tracing.spans import Carrier


@dataclass(frozen=True, slots=True)
class Enqueue:
    """The jobs of one request, at least one, all for one pool, and the `values` stored beside them.

    Their answers are announced on `reply_to`. `forgotten` are keys of old results, which are deleted first. `carriers`
    hold the trace context of each job, all or none.
    """

    jobs: Sequence[Job]
    reply_to: str | None
    values: Sequence[StoredValue] = ()
    forgotten: Sequence[str] = ()
    carriers: Sequence[Carrier] = ()

    def call(self, keys: Keys) -> tuple[list[Any], list[Any]]:
        """Return the keys and the arguments of job_queue.ENQUEUE. Each call makes new messages."""
        carriers = self.carriers or [{}] * len(self.jobs)
        sealed = [
            SealedJob(job, tag := str(uuid.uuid4()), seal(keys, job, tag, self.reply_to, carrier))
            for job, carrier in zip(self.jobs, carriers, strict=True)
        ]
        return queue_of(keys).enqueue_call(sealed, self.values, self.forgotten)
