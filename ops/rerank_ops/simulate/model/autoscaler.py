"""Autoscaler of a simulated fleet: looks once a second, as a supervisor does, and decides by the fleet's own policy.

The record of activity is written and read by the fleet's own code, into a dictionary in the place of Redis.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.crew import Crew
from rerank_ops.simulate.model.fleet import Fleet
from rerank_ops.simulate.model.process import Process
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.scheduling.autoscaling import Bounds, Demand, Wanted, followed, processes_wanted
from rerank_shared.watch.activity import add_activity, ask_activity, read_activity

LOOK_S = 1.0
_KEYS = Keys("simulated")


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """How the fleet is scaled. `start_s`: the seconds until a new process is ready."""

    bounds: Bounds
    start_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the processes that were alive and those that are kept from then on, starting ones too."""

    at: float
    alive: int
    kept: int
    wanted: Wanted
    waiting_s: float


class _Record:
    """The part of a Redis pipeline that the record of activity needs. Nothing in it runs out."""

    def __init__(self) -> None:
        self._hashes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._answers: list[Any] = []

    def hincrbyfloat(self, key: str, field: str, amount: float) -> None:
        self._hashes[key][field] += amount

    def expire(self, key: str, seconds: int) -> None: ...

    def hmget(self, key: str, *fields: str) -> None:
        self._answers.append([self._hashes[key].get(field) if key in self._hashes else None for field in fields])

    def execute(self) -> list[Any]:
        answers, self._answers = self._answers, []
        return answers


class Autoscaler:
    """Follows the policy. `looks` are all looks, ascending by time."""

    def __init__(self, autoscaling: Autoscaling, crew: Crew, fleet: Fleet, backlog: Backlog) -> None:
        self._bounds = autoscaling.bounds
        self._crew = crew
        self._fleet = fleet
        self._backlog = backlog
        self._record = _Record()
        #: Of each process when it was last counted, and the busy seconds that were counted.
        self._counted: dict[Process, tuple[float, dict[JobClass, float]]] = {}
        self._grown_at = 0.0
        self.looks: list[Look] = []

    def follow_until(self, last_s: float) -> None:
        """Look once a second until then, and while a job is not answered."""
        self._fleet.loop.at(LOOK_S, self._look, last_s)

    def _look(self, last_s: float) -> None:
        now, kept = self._fleet.loop.now, self._crew.kept
        if now < last_s or self._backlog.jobs:
            self._fleet.loop.at(now + LOOK_S, self._look, last_s)
        alive = self._crew.alive
        self._beat(alive, now)
        demand = self._demand(alive, now)
        wanted = processes_wanted(demand, self._bounds)
        target = followed(wanted.processes, kept, now - self._grown_at, self._bounds.cooldown_s)
        if target > kept:
            self._grown_at = now
        self.looks.append(Look(now, len(alive), target, wanted, sum(demand.waiting_s.values())))
        if target != kept:
            self._crew.resize(target)

    def _beat(self, alive: list[Process], now: float) -> None:
        counted = {}
        for process in alive:
            at, before_s = self._counted.get(process, (process.started_at, {}))
            busy_s = process.busy_s()
            ran_s = {job_class: busy_s[job_class] - before_s.get(job_class, 0.0) for job_class in JOB_CLASSES}
            add_activity(self._record, _KEYS, now, now - at, ran_s)
            counted[process] = now, busy_s
        self._counted = counted

    def _demand(self, alive: list[Process], now: float) -> Demand:
        cooldown_s = self._bounds.cooldown_s
        ask_activity(self._record, _KEYS, now, cooldown_s)
        return Demand(
            ready=len(alive),
            young=sum(now - process.started_at < cooldown_s for process in alive),
            queued_jobs=self._fleet.queue.waiting,
            waiting_s={job_class: self._backlog.work_s(job_class) for job_class in JOB_CLASSES},
            activity=read_activity(self._record.execute(), now),
        )
