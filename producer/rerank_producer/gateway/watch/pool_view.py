"""The pools of a fleet as JSON, for /autoscale, the live view and the page. Pure."""

from __future__ import annotations

import math

from pydantic import BaseModel, Field

from rerank_shared.fleet_state import Backlog, FleetState, PoolState
from rerank_shared.keys import JOB_CLASSES, JobClass


class PoolBacklogView(BaseModel):
    """The backlog of one class in one pool."""

    queued_jobs: int = Field(description="Jobs that no process has taken.")
    held_jobs: int = Field(description="Jobs that processes have taken and not answered.")
    tokens: int = Field(description="Estimated tokens.")


class PoolView(BaseModel):
    """The worker processes of one model in one precision, and the backlog that is theirs. A process may be in several
    pools."""

    model: str | None = Field(description="Its model's name; null where Redis has lost its announcement.")
    pool: str = Field(description="A short digest of all that a score depends on.")
    precision: str | None = Field(description="As the model.")
    processes: int = Field(description="Live processes.")
    queues: dict[JobClass, PoolBacklogView]
    drain_s: float | None = Field(
        description="Seconds until its backlog is done, without the jobs of other pools; with no process alive, what "
        "one would need; null while no process has measured what work costs."
    )


def pool_views(state: FleetState) -> list[PoolView]:
    """Return the pools that have live processes or a backlog, by name, the largest first."""
    pools = sorted(state.pools, key=lambda pool: (pool.model or "", -len(pool.workers), pool.id))
    return [_view(pool) for pool in pools]


def _view(pool: PoolState) -> PoolView:
    drain_s = pool.drain_s(*JOB_CLASSES)
    return PoolView(
        model=pool.model,
        pool=pool.id,
        precision=None if pool.identity is None else pool.identity.precision,
        processes=len(pool.workers),
        queues={job_class: _backlog(pool.backlog[job_class]) for job_class in JOB_CLASSES},
        drain_s=drain_s if math.isfinite(drain_s) else None,
    )


def _backlog(backlog: Backlog) -> PoolBacklogView:
    return PoolBacklogView(queued_jobs=backlog.queued_jobs, held_jobs=backlog.held_jobs, tokens=backlog.tokens)
