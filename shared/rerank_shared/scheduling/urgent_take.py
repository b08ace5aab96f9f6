"""Urgent take: lets a full process take one job from the queue that is more urgent than every job waiting in it.

So a long job never locks an urgent one out. A process asks just before the last run of a batch; earlier, it would take
a job that another process may soon be free for. Urgency is the queue's own figure, because a process counts a job's age
from its arrival there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from rerank_shared.keys import JobClass

#: A full process asks no more often than this, however short its batches are.
ASK_EVERY_S = 0.06


@dataclass(slots=True)
class AskPace:
    """Pace at which a full process may ask the queue: at most once in ASK_EVERY_S, on the clock of the arguments."""

    ask_at: float = 0.0

    def is_due(self, now: float) -> bool:
        """Return whether it may ask."""
        return now >= self.ask_at

    def asked(self, now: float) -> None:
        """Record that the process asked, with or without success."""
        self.ask_at = now + ASK_EVERY_S


def first_due(waiting: Iterable[tuple[JobClass, float]]) -> dict[JobClass, float]:
    """Return the earliest due time of each class of these jobs (class, due time); a class without jobs is left out."""
    first: dict[JobClass, float] = {}
    for job_class, due_at in waiting:
        first[job_class] = min(due_at, first.get(job_class, inf))
    return first


def must_beat(first: Mapping[JobClass, float], *, interactive_queued: Callable[[], bool]) -> float | None:
    """Return the time before which a queued job must be due to be taken: infinite for any job, None for no job.

    `first` describes the jobs that wait in the process, as `first_due` returns it. Any interactive job is more urgent
    than waiting bulk jobs; `interactive_queued` is called only where that matters.
    """
    if "interactive" in first:
        return first["interactive"]
    return inf if interactive_queued() else first.get("bulk")
