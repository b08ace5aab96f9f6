"""Enqueue: stores the jobs of a request by one call of a script, all of it or nothing.

Each job adds its message, its text where that is large, its backlog entry, and a wake-up. A submitted request adds its
record; single flight adds the claims on its pairs.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer._io.envelope import seal, urgency_of
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_key, backlog_member
from rerank_shared.queue.scripts import scripts_of
from rerank_shared.tracing.spans import Carrier


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A string that is stored beside a job for `life_ms`.

    The sweep of `lifetimes` ends it, so that a full server can't evict it. A `claim` is ended or evicted by Redis, and
    does not replace a claim that exists.
    """

    key: str | bytes
    value: bytes
    life_ms: int
    claim: bool = False


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
        """Return the keys and the arguments of scripts.ENQUEUE. Each call makes new messages."""
        first = self.jobs[0]
        queue = keys.of(first.pool).queue(first.job_class)
        args: list[Any] = [queue, first.tenant, repr(first.due_at), repr(first.deadline_at)]
        args += [len(self.jobs), len(self.values)]
        for job, carrier in zip(self.jobs, self.carriers or [{}] * len(self.jobs), strict=True):
            tag = str(uuid.uuid4())
            args += [tag, seal(keys, job, tag, self.reply_to, carrier), urgency_of(job).tokens, backlog_member(job)]
        for each in self.values:
            args += [each.value, each.life_ms, "claim" if each.claim else ""]
        names = [backlog_key(keys, first), *(each.key for each in self.values), *self.forgotten]
        return scripts_of(keys).call(names, args)
