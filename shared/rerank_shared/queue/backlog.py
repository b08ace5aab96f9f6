"""The ledger of unanswered jobs: one entry a job, from the moment a client sends it until a worker has answered.

Work that workers hold is counted too, so a queue never looks empty while someone hoards it. An entry stops counting at
its job's deadline by itself. A worker removes a job's entry by spelling it again from the job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rerank_shared.contract.messages import Job
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.scheduling.cost import Work

_SINCE = re.compile(r"\|@([0-9]+\.[0-9]{3})$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One unanswered job: its class, its estimated work, how urgent it is and since when it waits (epoch seconds, both;
    0 if nobody said)."""

    job_class: JobClass
    work: Work
    due_at: float
    enqueued_at: float = 0.0

    def precedes(self, job_class: JobClass, due_at: float) -> bool:
        """Whether it is taken before a job of that class and urgency."""
        if self.job_class != job_class:
            return self.job_class == "interactive"
        return self.due_at <= due_at


def ledger_member(job: Job) -> str:
    """Return a job's entry in the ledger."""
    # What was added last stands first: an older release reads its four fields from the end.
    since = f"@{job.enqueued_at:.3f}"
    return f"{job.job_id}|{since}|{job.tokens}|{job.tokens_longest}|{job.pairs}|{job.due_at:.3f}"


def read_entry(job_class: JobClass, member: bytes) -> Entry:
    """Read an entry; what older releases wrote does not say since when, or has its tokens alone."""
    name, *fields = member.decode().rsplit("|", 4)
    if len(fields) < 4:
        return Entry(job_class, Work(tokens=float(member.rpartition(b"|")[2])), 0.0)
    tokens, tokens_longest, pairs, due_at = map(float, fields)
    since = _SINCE.search(name)
    return Entry(job_class, Work(pairs, tokens, tokens_longest), due_at, float(since[1]) if since else 0.0)


def ask_entries(pipe: Any, keys: Keys, now: float) -> None:
    """Queue on a pipeline the questions that `read_entries` reads the answers of, two a class; drops what is over."""
    for job_class in JOB_CLASSES:
        pipe.zremrangebyscore(keys.ledger(job_class), "-inf", now)
        pipe.zrange(keys.ledger(job_class), 0, -1)


def read_entries(answers: list[Any]) -> list[Entry]:
    """Return all entries from the answers to `ask_entries`."""
    members = zip(JOB_CLASSES, answers[1::2], strict=True)
    return [read_entry(job_class, member) for job_class, found in members for member in found]


def total(entries: Iterable[Entry]) -> Work:
    """Return the work of all entries."""
    return sum((entry.work for entry in entries), Work())
