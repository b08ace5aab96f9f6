"""Handles and status of submitted requests: another process needs the job's id alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rerank_shared.keys import JobClass

#: waiting: queued, or held by a worker; done and failed: collect() returns or raises at once; late: its deadline passed
#: without an answer.
JobState = Literal["waiting", "done", "failed", "late"]


@dataclass(frozen=True, slots=True)
class RerankHandle:
    """A submitted request. `str(handle)` is the job id, which `collect()`, `status()` and `cancel()` take as well."""

    job_id: str

    def __str__(self) -> str:
        return self.job_id


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a submitted request; times are epoch seconds by the server's clock."""

    job_id: str
    state: JobState
    job_class: JobClass
    tenant: str
    submitted_at: float
    deadline_at: float
