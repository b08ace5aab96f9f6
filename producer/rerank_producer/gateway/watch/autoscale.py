"""The signal for autoscalers over HTTP: its shape, and the reader that asks Redis at most once a second for all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from rerank_producer.gateway.watch.pool_view import PoolView, pool_views
from rerank_producer.gateway.watch.remembered import Remembered
from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.redis.connections import outages_told
from rerank_shared.scheduling.autoscaling import Reason
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import AutoscaleSignal, aread_signal

_REMEMBERED_S = 0.9


class QueueSignal(BaseModel):
    """The backlog of one class."""

    drain_s: float | None = Field(
        description="Seconds until it is done, if it were alone; with no process alive, what one would need; null "
        "while no process has measured what work costs."
    )
    tokens: int = Field(description="Estimated tokens.")
    queued_jobs: int = Field(description="Jobs that no process has taken.")
    held_jobs: int = Field(description="Jobs that processes have taken and not answered.")
    oldest_age_s: float | None = Field(description="Seconds since the oldest job was enqueued; null without any.")


class ProcessSignal(BaseModel):
    """The worker processes of the fleet."""

    ready: int = Field(description="Alive and warm.")
    busy: float = Field(description="That ran work: mean of the last half minute.")
    wanted: int = Field(description="That the fleet should have: RERANK_MIN_PROCESSES to RERANK_MAX_PROCESSES.")
    min: int = Field(description="RERANK_MIN_PROCESSES.")
    max: int | None = Field(description="RERANK_MAX_PROCESSES; null: no limit.")


class AutoscaleView(BaseModel):
    """What autoscalers go by. A figure that nobody knows is null, never 0."""

    at: float = Field(description="Epoch seconds, by the clock of the Redis server.")
    model: str
    queues: dict[JobClass, QueueSignal]
    drain_s: float | None = Field(description="Seconds until all of it is done; null as above.")
    processes: ProcessSignal
    pools: list[PoolView] = Field(description="Pools that have live processes or a backlog.")
    reason: Reason = Field(
        description="Why so many are wanted: load and backlog grow a fleet, cooldown keeps it, minimum and maximum "
        "bound it."
    )


def autoscale_view(signal: AutoscaleSignal, settings: Settings) -> AutoscaleView:
    """Return the signal in its outward shape."""
    state = signal.state
    return AutoscaleView(
        at=signal.at,
        model=signal.model,
        queues={
            job_class: QueueSignal(
                drain_s=_known(state.drain_s(job_class)),
                tokens=state.backlog[job_class].tokens,
                queued_jobs=state.backlog[job_class].queued_jobs,
                held_jobs=state.backlog[job_class].held_jobs,
                oldest_age_s=state.backlog[job_class].oldest_age_s(signal.at),
            )
            for job_class in JOB_CLASSES
        },
        drain_s=_known(state.predicted_drain_s),
        processes=ProcessSignal(
            ready=len(state.workers),
            busy=round(signal.busy, 3),
            wanted=signal.wanted.processes,
            min=settings.min_processes,
            max=settings.max_processes,
        ),
        pools=pool_views(state),
        reason=signal.wanted.reason,
    )


class SignalReader:
    """Reads the signal, at most once a second however many ask. `redis` is an asyncio client."""

    def __init__(self, redis: Any, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis, self._settings = redis, settings
        self._signal = Remembered(self._ask, _REMEMBERED_S, clock)

    async def read(self) -> AutoscaleSignal:
        """Return the signal, at most a second old. Raises QueueUnavailable."""
        return await self._signal.get()

    async def _ask(self) -> AutoscaleSignal:
        with outages_told(self._settings, "reading the fleet"):
            return await aread_signal(self._redis, self._settings)


def _known(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
