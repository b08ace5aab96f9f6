"""What puts the jobs of a request on the queue: one call of a script, so that all of it is there or nothing.

A job is its message, its text where that is large, its entry in the ledger, and the bell; a submitted request also has
its record, and a pair that others may wait for its claim.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer._io.envelope import seal, urgency_of
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import ledger_member
from rerank_shared.queue.scripts import QueueScripts


@dataclass(frozen=True, slots=True)
class Kept:
    """A string that is kept beside a job for `life_ms`.

    It ends as lifetimes.py has it, so that no full server may evict it. A `claim` is Redis' to end or evict, and one
    that is there stays as it is.
    """

    key: str | bytes
    value: bytes
    life_ms: int
    claim: bool = False


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Jobs of one request, at least one, that are announced on `reply_to`, with what is `kept` beside them.

    `forgotten` are the keys of results that stand in their way.
    """

    jobs: Sequence[Job]
    reply_to: str | None
    kept: Sequence[Kept] = ()
    forgotten: Sequence[str] = ()

    def call(self, keys: Keys) -> tuple[list[Any], list[Any]]:
        """Return the keys and the arguments of scripts.ENQUEUE. Each call makes messages of their own."""
        first = self.jobs[0]
        args: list[Any] = [first.job_class, first.tenant, repr(first.due_at), repr(first.deadline_at)]
        args += [len(self.jobs), len(self.kept)]
        for job in self.jobs:
            tag = str(uuid.uuid4())
            args += [tag, seal(keys, job, tag, self.reply_to), urgency_of(job).tokens, ledger_member(job)]
        for each in self.kept:
            args += [each.value, each.life_ms, "claim" if each.claim else ""]
        names = [keys.ledger(first.job_class), *(each.key for each in self.kept), *self.forgotten]
        return QueueScripts(keys).call(names, args)
