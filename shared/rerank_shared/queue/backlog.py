"""The backlog: one entry for each unanswered job, from the moment a client sends it until a worker has answered.

Jobs inside workers count too, so the backlog never looks empty while a worker hoards jobs. An entry stops counting at
its job's deadline. A worker removes an entry by building it again from the job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rerank_shared.contract.messages import Job
from rerank_shared.contract.unreadable import amount, read_or_none
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.scheduling.cost import Work

_SINCE = re.compile(rb"\|@([0-9]+\.[0-9]{3})$")


@dataclass(frozen=True, slots=True)
class BacklogEntry:
    """One unanswered job. `due_at` is its urgency, `enqueued_at` when it was sent: epoch seconds, 0 where unknown."""

    job_class: JobClass
    work: Work
    due_at: float
    enqueued_at: float = 0.0

    def precedes(self, job_class: JobClass, due_at: float) -> bool:
        """Whether it is taken before a job of that class that is due at `due_at` (epoch seconds)."""
        if self.job_class != job_class:
            return self.job_class == "interactive"
        return self.due_at <= due_at


def backlog_member(job: Job) -> str:
    """Return a job's entry as it stands in Redis."""
    # The newest field stands first: an older release reads its four fields from the end.
    since = f"@{job.enqueued_at:.3f}"
    return f"{job.job_id}|{since}|{job.tokens}|{job.tokens_longest}|{job.pairs}|{job.due_at:.3f}"


def read_backlog_entry(job_class: JobClass, member: bytes) -> BacklogEntry:
    """Read an entry. Older releases wrote no time of sending, or the tokens alone. Raises ValueError."""
    name, *fields = member.rsplit(b"|", 4)
    if len(fields) < 4:
        return BacklogEntry(job_class, Work(tokens=amount(member.rpartition(b"|")[2])), 0.0)
    tokens, tokens_longest, pairs, due_at = map(amount, fields)
    since = _SINCE.search(name)
    return BacklogEntry(job_class, Work(pairs, tokens, tokens_longest), due_at, float(since[1]) if since else 0.0)


def backlog_key(keys: Keys, job: Job) -> str:
    """Return the key of the backlog in which a job counts: that of the pool that it was sent to, wherever it waits."""
    return keys.of(job.pool).backlog(job.job_class)


def ask_backlog(pipe: Any, keys: Keys, now: float) -> None:
    """Queue on a pipeline the commands that read the backlog, two a class; entries past their deadline are dropped."""
    for job_class in JOB_CLASSES:
        pipe.zremrangebyscore(keys.backlog(job_class), "-inf", now)
        pipe.zrange(keys.backlog(job_class), 0, -1)


def read_backlog(answers: list[Any]) -> list[BacklogEntry]:
    """Return all entries from the answers to `ask_backlog`. One that can't be read is a job of unknown work."""
    members = zip(JOB_CLASSES, answers[1::2], strict=True)
    return [_entry(job_class, member) for job_class, found in members for member in found]


def _entry(job_class: JobClass, member: bytes) -> BacklogEntry:
    found = read_or_none("entry of the backlog", partial(read_backlog_entry, job_class), member)
    return found or BacklogEntry(job_class, Work(), 0.0)


def total(entries: Iterable[BacklogEntry]) -> Work:
    """Return the work of all entries."""
    return sum((entry.work for entry in entries), Work())
