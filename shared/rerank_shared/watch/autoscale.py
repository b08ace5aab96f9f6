"""The signal for autoscalers: the fleet's state, its activity, and the processes that it should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_shared import fleet
from rerank_shared.contract.messages import name_of
from rerank_shared.fleet import STATE_ANSWERS, FleetState, heartbeat_keys, state_of
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.redis.server_clock import epoch_of, server_epoch
from rerank_shared.scheduling.autoscaling import (
    Activity,
    Bounds,
    Demand,
    Wanted,
    busy_processes,
    processes_wanted,
)
from rerank_shared.settings import Settings
from rerank_shared.settings.autoscaling import AutoscalingSettings
from rerank_shared.watch.activity import ask_activity, read_activity


@dataclass(frozen=True, slots=True)
class AutoscaleSignal:
    """What autoscalers go by, at `at` in epoch seconds of the Redis server. `busy`: mean of the last half minute."""

    at: float
    model: str
    state: FleetState
    busy: float
    wanted: Wanted


def bounds_of(settings: AutoscalingSettings) -> Bounds:
    """Return the bounds that the settings ask for."""
    return Bounds(
        min_processes=settings.min_processes,
        max_processes=settings.max_processes,
        target_backlog_s=settings.target_backlog_s,
        bulk_target_backlog_s=settings.bulk_target_backlog_s,
        cooldown_s=settings.cooldown_s,
    )


def demand_of(state: FleetState, activity: Sequence[Activity], now: float, cooldown_s: float) -> Demand:
    """Return what the policy decides by."""
    return Demand(
        ready=len(state.workers),
        young=sum(abs(now - worker.started_at) < cooldown_s for worker in state.workers),
        queued_jobs=sum(backlog.queued_jobs for backlog in state.backlog.values()),
        waiting_s={job_class: state.work_s(job_class) for job_class in JOB_CLASSES},
        activity=activity,
    )


def read_signal(client: Any, settings: Settings) -> AutoscaleSignal:
    """Read the signal: three round trips. Raises redis-py's errors."""
    questions = Questions(settings, server_epoch(client))
    pipe = client.pipeline(transaction=False)
    questions.ask(pipe)
    answers = pipe.execute()
    names = questions.heartbeat_keys(answers)
    return questions.signal(answers, client.mget(names) if names else [])


async def aread_signal(client: Any, settings: Settings) -> AutoscaleSignal:
    """Read the signal as `read_signal` does, on an asyncio client."""
    questions = Questions(settings, epoch_of(await client.time()))
    pipe = client.pipeline(transaction=False)
    questions.ask(pipe)
    answers = await pipe.execute()
    names = questions.heartbeat_keys(answers)
    return questions.signal(answers, await client.mget(names) if names else [])


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked for one signal at `now`, whichever client asks it."""

    settings: Settings
    now: float

    def ask(self, pipe: Any) -> None:
        """Queue the first questions on a pipeline."""
        keys = Keys(self.settings.namespace)
        fleet.ask_state(pipe, keys, name_of(self.settings.model), self.now)
        ask_activity(pipe, keys, self.now, self.settings.cooldown_s)

    def heartbeat_keys(self, answers: Sequence[Any]) -> list[str]:
        """Return the keys to read then, by their answers."""
        return heartbeat_keys(Keys(self.settings.namespace), answers)

    def signal(self, answers: Sequence[Any], heartbeats: Sequence[bytes | None]) -> AutoscaleSignal:
        """Return the signal of both answers."""
        state = state_of(answers[:STATE_ANSWERS], heartbeats, self.now)
        activity = read_activity(answers[STATE_ANSWERS:], self.now)
        bounds = bounds_of(self.settings)
        wanted = processes_wanted(demand_of(state, activity, self.now, bounds.cooldown_s), bounds)
        model = next((worker.model for worker in state.workers), name_of(self.settings.model))
        return AutoscaleSignal(self.now, model, state, busy_processes(activity, *JOB_CLASSES), wanted)
