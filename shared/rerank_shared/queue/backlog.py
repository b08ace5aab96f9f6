"""The backlog: one entry for each unanswered job, from the moment a client sends it until a worker has answered.

Jobs inside workers count too, so the backlog never looks empty while a worker hoards jobs. An entry stops counting at
its job's deadline. A worker removes an entry by building it again from the job. Scripts keep sums beside the entries,
by the second in which they are due: who asks what waits reads as many lines as the backlog spans seconds, however many
jobs there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rerank_shared.contract.messages import Job
from rerank_shared.contract.unreadable import amount, read_or_none
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.redis.scripts import Script
from rerank_shared.scheduling.cost import Work

_SINCE = re.compile(rb"\|@([0-9]+\.[0-9]{3})$")
UNCOUNT, READ = (Script("backlog.lua", f"{name}.lua") for name in ("uncount", "read_backlog"))


@dataclass(frozen=True, slots=True)
class DueJobs:
    """The unanswered jobs of a class that are due within one second, and their work.

    `oldest_at` is when the oldest was sent, the other times are when the first and the last of them are due: epoch
    seconds, 0 where unknown. One of them that was answered meanwhile may still stand in these times.
    """

    job_class: JobClass
    work: Work
    first_due_at: float
    last_due_at: float
    oldest_at: float = 0.0
    jobs: int = 1

    def ahead_of(self, job_class: JobClass, due_at: float) -> Work:
        """Return the work that is taken before a job of that class that is due at `due_at` (epoch seconds).

        Those that are due between the first and the last count as spread evenly.
        """
        if self.job_class != job_class:
            return self.work if self.job_class == "interactive" else Work()
        if due_at >= self.last_due_at:
            return self.work
        if due_at <= self.first_due_at:
            return Work()
        return self.work.part((due_at - self.first_due_at) / (self.last_due_at - self.first_due_at))


def backlog_member(job: Job) -> str:
    """Return a job's entry as it stands in Redis."""
    # The newest field stands first: an older release reads its four fields from the end.
    since = f"@{job.enqueued_at:.3f}"
    return f"{job.job_id}|{since}|{job.tokens}|{job.tokens_longest}|{job.pairs}|{job.due_at:.3f}"


def backlog_key(keys: Keys, job: Job) -> str:
    """Return the key of the backlog in which a job counts: that of the pool that it was sent to, wherever it waits."""
    return keys.of(job.pool).backlog(job.job_class)


def backlog_keys(keys: Keys, job_class: JobClass) -> list[str]:
    """Return the keys of a class's backlog in a pool, entries and sums, in the order of the scripts."""
    return [keys.backlog(job_class), keys.backlog_sums(job_class)]


def uncount(pipe: Any, keys: Keys, job: Job) -> None:
    """Queue on a pipeline that a job counts no longer."""
    UNCOUNT.queue_on(pipe, backlog_keys(keys.of(job.pool), job.job_class), backlog_member(job))


def ask_backlog(pipe: Any, keys: Keys, now: float) -> None:
    """Queue on a pipeline the commands that read the backlog, one a class; entries past their deadline are dropped."""
    for job_class in JOB_CLASSES:
        READ.queue_on(pipe, backlog_keys(keys, job_class), now)


def read_backlog(answers: list[Any]) -> list[DueJobs]:
    """Return what waits from the answers to `ask_backlog`.

    A line that can't be read is a job of unknown work.
    """
    found = zip(JOB_CLASSES, answers, strict=True)
    return [_due_jobs(job_class, line) for job_class, sums in found for line in _lines(sums)]


def total(due: Iterable[DueJobs]) -> Work:
    """Return the work of all."""
    return sum((each.work for each in due), Work())


def sums_of(entries: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the sums of a backlog's entries, as lua/backlog.lua keeps them."""
    seconds: dict[int, list[tuple[Work, float, float]]] = {}
    for entry in entries:
        work, since, due_at = _read_entry(entry)
        seconds.setdefault(math.floor(due_at), []).append((work, since, due_at))
    return {b"%d" % second: _line(found) for second, found in seconds.items()}


def _line(entries: Sequence[tuple[Work, float, float]]) -> bytes:
    work = sum((work for work, _, _ in entries), Work())
    oldest_at = min((since for _, since, _ in entries if since), default=0.0)
    due_at = [due_at for _, _, due_at in entries]
    sums = len(entries), work.runs, work.tokens, work.tokens_longest, oldest_at, min(due_at), max(due_at)
    return b"%d|%.0f|%.0f|%.0f|%.3f|%.3f|%.3f" % sums


def _read_entry(entry: bytes) -> tuple[Work, float, float]:
    """Return an entry's work, when it was sent and when it is due. Raises ValueError."""
    name, *fields = entry.rsplit(b"|", 4)
    tokens, tokens_longest, pairs, due_at = map(amount, fields)
    since = _SINCE.search(name)
    return Work(pairs, tokens, tokens_longest), float(since[1]) if since else 0.0, due_at


def _lines(sums: Any) -> list[bytes]:
    # Redis answers a script with a list of fields and values.
    return list(sums.values() if isinstance(sums, Mapping) else sums[1::2])


def _due_jobs(job_class: JobClass, line: bytes) -> DueJobs:
    found = read_or_none("sum of the backlog", partial(_read_line, job_class), line)
    return found or DueJobs(job_class, Work(), 0.0, 0.0)


def _read_line(job_class: JobClass, line: bytes) -> DueJobs:
    jobs, runs, tokens, longest, oldest_at, first_due_at, last_due_at = map(amount, line.split(b"|"))
    return DueJobs(job_class, Work(runs, tokens, longest), first_due_at, last_due_at, oldest_at, int(jobs))
