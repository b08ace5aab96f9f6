"""Twin of the backlog: sums the predicted seconds of unanswered jobs, and those of the jobs before a new one.

The real backlog is summed entry by entry; this one keeps sums by steps of urgency, because it is read very often.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate
from math import floor, inf

from rerank_shared.keys import JOB_CLASSES, JobClass

#: Step of urgency; jobs closer than this may count as equally urgent.
_STEP_S = 0.01
#: Sums below this are zero: it is less than any run takes, and more than the rounding of sums.
_NOTHING_S = 1e-9


class Backlog:
    """Unanswered work: `bulk` of its `jobs` are of that class.

    Sums are as of the last read, because clients remember a read for `remembered_s`.
    """

    __slots__ = ("_known", "_known_at", "_remembered_s", "_seconds", "bulk", "jobs")

    def __init__(self, remembered_s: float) -> None:
        self.jobs = self.bulk = 0
        self._seconds: dict[JobClass, dict[int, float]] = {c: defaultdict(float) for c in JOB_CLASSES}
        self._remembered_s = remembered_s
        #: For each class its steps, ascending, and the cumulative seconds up to each.
        self._known: dict[JobClass, tuple[list[int], list[float]]] = {}
        self._known_at = -inf

    def add(self, job_class: JobClass, due_at: float, seconds: float) -> None:
        """Count a job that was sent."""
        self.jobs += 1
        self.bulk += job_class == "bulk"
        self._seconds[job_class][_step(due_at)] += seconds

    def remove(self, job_class: JobClass, due_at: float, seconds: float) -> None:
        """Remove a job that was answered, or that passed its deadline."""
        self.jobs -= 1
        self.bulk -= job_class == "bulk"
        step, sums = _step(due_at), self._seconds[job_class]
        sums[step] -= seconds
        if sums[step] < _NOTHING_S:
            del sums[step]

    def work_s(self, job_class: JobClass) -> float:
        """Return the seconds of all unanswered work of a class, as of now."""
        return sum(self._seconds[job_class].values())

    def ahead_s(self, job_class: JobClass, due_at: float, now: float) -> float:
        """Return the seconds of work that is taken before a job of this class and urgency."""
        if now - self._known_at >= self._remembered_s:
            self._read()
            self._known_at = now
        mine = self._until(job_class, _step(due_at))
        return mine if job_class == "interactive" else mine + self._until("interactive", inf)

    def _read(self) -> None:
        for job_class, sums in self._seconds.items():
            steps = sorted(sums)
            self._known[job_class] = steps, list(accumulate(sums[step] for step in steps))

    def _until(self, job_class: JobClass, step: float) -> float:
        steps, sums = self._known[job_class]
        place = bisect_right(steps, step)
        return sums[place - 1] if place else 0.0


def _step(due_at: float) -> int:
    return floor(due_at / _STEP_S)
