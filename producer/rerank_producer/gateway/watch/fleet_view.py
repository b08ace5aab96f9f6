"""The view of the fleet: its state at one moment as JSON, for the page and, by its schema, for programs. Pure.

Times are the Redis server's. An unknown figure is null, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, Field

from rerank_producer.gateway.watch.latency import WINDOW_S, Latency
from rerank_producer.gateway.watch.pool_view import PoolView, pool_views
from rerank_producer.gateway.watch.route_view import LiveRouteView
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.fleet_state import FleetState
from rerank_shared.keys import JobClass

CACHE_WINDOW_S = 60


class QueueView(BaseModel):
    """Unanswered work of one class."""

    job_class: JobClass = Field(serialization_alias="class")
    queued_jobs: int = Field(description="Jobs that no worker has taken.")
    held_jobs: int = Field(description="Jobs that workers have taken and not answered.")
    tokens: int = Field(description="Estimated tokens of all of them.")
    oldest_age_s: float | None = Field(description="Seconds since the oldest of them was enqueued.")


class WorkerView(BaseModel):
    """One live worker process, as of its last heartbeat."""

    id: str
    model: str
    host: str
    core: int | None = Field(description="The core it is pinned to.")
    pairs_per_batch: float | None = Field(description="Mean of its recent batches; null before the first.")
    tokens_per_s: float = Field(description="Its measured rate while it runs.")
    held_jobs: int
    held_tokens: int
    uptime_s: float


class CacheView(BaseModel):
    """The score cache over the last minute in which the fleet was watched."""

    window_s: int = CACHE_WINDOW_S
    lookups: int
    hit_rate: float | None = Field(description="Share of pairs found; null where none was looked up.")


class LatencyView(BaseModel):
    """Durations of the requests of one k class that any gateway answered."""

    k: str = Field(description="Documents a request: 1-10, 11-25, 26-50, 51-100, 101-250 or 251+.")
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class FleetView(BaseModel):
    """The fleet at one moment."""

    status: Literal["ok"] = "ok"
    at: float = Field(description="Epoch seconds, by the clock of the Redis server.")
    model: str
    queues: list[QueueView]
    pools: list[PoolView] = Field(description="Pools that have live processes or a backlog.")
    routes: list[LiveRouteView]
    workers: list[WorkerView]
    tokens_per_s: float = Field(description="Measured rate of all live processes together, while they run.")
    requests_per_s: float = Field(description="Requests that gateways answered, over the last minute.")
    cache: CacheView
    latency_window_s: int = WINDOW_S
    latency: list[LatencyView]
    predicted_drain_s: float | None = Field(
        description="Seconds until all that waits is done, the signal for autoscalers; with no process alive, what one "
        "would need; null while no process has measured what work costs."
    )


def view_of(
    state: FleetState,
    model: str,
    cache: CacheView,
    latency: Latency,
    now: float,
    routes: Sequence[LiveRouteView] = (),
) -> FleetView:
    """Return the view of one moment."""
    drain_s = state.predicted_drain_s
    return FleetView(
        at=now,
        model=next((worker.model for worker in state.workers), model),
        queues=[
            QueueView(
                job_class=job_class,
                queued_jobs=backlog.queued_jobs,
                held_jobs=backlog.held_jobs,
                tokens=backlog.tokens,
                oldest_age_s=backlog.oldest_age_s(now),
            )
            for job_class, backlog in state.backlog.items()
        ],
        pools=pool_views(state),
        routes=list(routes),
        workers=[_worker(each, now) for each in sorted(state.workers, key=lambda each: (each.host, each.worker_id))],
        tokens_per_s=state.tokens_per_s,
        requests_per_s=latency.requests_per_s,
        cache=cache,
        latency=[LatencyView(k=k, **asdict(found)) for k, found in latency.by_k.items()],
        predicted_drain_s=drain_s if math.isfinite(drain_s) else None,
    )


def _worker(beat: Heartbeat, now: float) -> WorkerView:
    return WorkerView(
        id=beat.worker_id,
        model=beat.model,
        host=beat.host,
        core=beat.core,
        pairs_per_batch=beat.pairs_per_batch or None,
        tokens_per_s=beat.tokens_per_s,
        held_jobs=beat.held_jobs,
        held_tokens=beat.held_tokens,
        uptime_s=max(0.0, now - beat.started_at),
    )
