"""The signal for autoscalers: the fleet's state, its activity, and the processes that it should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_shared.contract.messages import name_of
from rerank_shared.fleet_state import FleetState, StateQuestions
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
    questions = _Questions.of(settings, server_epoch(client))
    questions.ask_first(pipe := client.pipeline(transaction=False))
    workers, pools, models, *activity = pipe.execute()
    questions.state.ask(pipe := client.pipeline(transaction=False), (workers, pools, models))
    return questions.signal(questions.state.read((workers, pools, models), pipe.execute()), activity)


async def aread_signal(client: Any, settings: Settings) -> AutoscaleSignal:
    """Read the signal as `read_signal` does, on an asyncio client."""
    questions = _Questions.of(settings, epoch_of(await client.time()))
    questions.ask_first(pipe := client.pipeline(transaction=False))
    workers, pools, models, *activity = await pipe.execute()
    questions.state.ask(pipe := client.pipeline(transaction=False), (workers, pools, models))
    return questions.signal(questions.state.read((workers, pools, models), await pipe.execute()), activity)


@dataclass(frozen=True, slots=True)
class _Questions:
    """What is asked for one signal, whichever client asks it."""

    settings: Settings
    state: StateQuestions

    @classmethod
    def of(cls, settings: Settings, now: float) -> _Questions:
        return cls(settings, StateQuestions(Keys(settings.namespace), name_of(settings.model), now))

    def ask_first(self, pipe: Any) -> None:
        """Queue the state's first part, and the activity."""
        self.state.ask_first(pipe)
        ask_activity(pipe, self.state.keys, self.state.now, self.settings.cooldown_s)

    def signal(self, state: FleetState, slots: Sequence[Any]) -> AutoscaleSignal:
        """Return the signal of a state and of the answers about the activity."""
        now, bounds = self.state.now, bounds_of(self.settings)
        activity = read_activity(slots, now)
        wanted = processes_wanted(demand_of(state, activity, now, bounds.cooldown_s), bounds)
        model = next((worker.model for worker in state.workers), self.state.model)
        return AutoscaleSignal(now, model, state, busy_processes(activity, *JOB_CLASSES), wanted)
