"""Busy seconds of a worker process: how long it ran work of each class."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_worker import metrics
from rerank_worker.batching.batcher import WaitingPair


class BusySeconds:
    """Seconds of runs since the process began, by class. One thread adds; others may read a slightly old value."""

    def __init__(self) -> None:
        self._seconds: dict[JobClass, float] = dict.fromkeys(JOB_CLASSES, 0.0)

    def add(self, pairs: Sequence[WaitingPair], seconds: float) -> None:
        """Count a run of these pairs; where classes share it, each counts by its tokens."""
        tokens = sum(pair.tokens for pair in pairs)
        for job_class in {pair.job_class for pair in pairs}:
            mine = sum(pair.tokens for pair in pairs if pair.job_class == job_class)
            share_s = seconds * mine / tokens if tokens else 0.0
            self._seconds[job_class] += share_s
            metrics.BUSY_SECONDS.labels(job_class).inc(share_s)

    def by_class(self) -> dict[JobClass, float]:
        """Return the seconds of each class."""
        return dict(self._seconds)
