"""The ledger of unanswered jobs: one entry a job, from the moment a client sends it until a worker has answered.

Work that workers hold is counted too, so a queue never looks empty while someone hoards it. An entry stops counting at
its job's deadline by itself. A worker removes a job's entry by spelling it again from the job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.messages import Job
from rerank_shared.scheduling.cost import Work


@dataclass(frozen=True, slots=True)
class Entry:
    """One unanswered job: its class, its estimated work, and how urgent it is (epoch seconds; 0 if nobody said)."""

    job_class: JobClass
    work: Work
    due_at: float

    def precedes(self, job_class: JobClass, due_at: float) -> bool:
        """Whether it is taken before a job of that class and urgency."""
        if self.job_class != job_class:
            return self.job_class == "interactive"
        return self.due_at <= due_at


def ledger_member(job: Job) -> str:
    """Return a job's entry in the ledger."""
    return f"{job.job_id}|{job.tokens}|{job.tokens_longest}|{job.pairs}|{job.due_at:.3f}"


def read_entry(job_class: JobClass, member: bytes) -> Entry:
    """Read an entry; what an older release wrote has its tokens alone."""
    _, *fields = member.decode().rsplit("|", 4)
    if len(fields) < 4:
        return Entry(job_class, Work(tokens=float(member.rpartition(b"|")[2])), 0.0)
    tokens, tokens_longest, pairs, due_at = map(float, fields)
    return Entry(job_class, Work(pairs, tokens, tokens_longest), due_at)


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
