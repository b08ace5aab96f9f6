"""What `submit()` returns: all that another process needs to collect the answer is the job's id."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RerankHandle:
    """A submitted request. `str(handle)` is the job id, which `collect()` and `cancel()` take as well."""

    job_id: str

    def __str__(self) -> str:
        return self.job_id
