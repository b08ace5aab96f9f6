"""Autoscaling: how many worker processes a fleet should have, by what waits and by how busy it was.

Two needs are added up. Load: processes that ran interactive work over the last half minute, so many that each runs for
`GROW_AT_SHARE` of its time. Backlog: process-seconds of waiting work over the target seconds of its class. It counts
only while it is more than the live processes do within the target: below that it is in order, and it is mostly the
work that runs, which is load already. Bulk work counts by its backlog alone: it fills whatever is there, so how busy it
keeps a fleet says nothing of what it needs.

A fleet grows at once. It shrinks only to what its busiest ten seconds of the cool-down need, at `SHRINK_AT_SHARE`: a
fleet that keeps up has no backlog at any look and is still needed. Between the two shares nothing changes, so load that
stays the same never makes it flap. The shares are chosen by `rerank-fleet simulate --autoscale`. To shrink at 0.6 keeps
up to a fifth more processes and meets no more targets; at 0.8 ten busy seconds that come by chance make fleets flap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rerank_shared.keys import JobClass

#: Share of their time that processes run interactive work, above which a fleet grows, and below which it may shrink.
GROW_AT_SHARE = 0.8
SHRINK_AT_SHARE = 0.7
#: Whole slots of activity that the load is measured over, beside the one that is not over.
_RECENT_SLOTS = 2

#: Why that many: `load` and `backlog` grow a fleet, `cooldown` keeps it, `minimum` and `maximum` bound it.
Reason = Literal["load", "backlog", "cooldown", "minimum", "maximum"]


@dataclass(frozen=True, slots=True)
class Activity:
    """One slot of `seconds`: the seconds that all processes were alive in it, and that they ran work of each class."""

    seconds: float
    alive_s: float
    busy_s: Mapping[JobClass, float]

    @property
    def alive(self) -> float:
        """Mean number of processes alive."""
        return self.alive_s / self.seconds if self.seconds > 0 else 0.0

    def busy(self, *job_classes: JobClass) -> float:
        """Return the mean number of processes that ran work of these classes."""
        return sum(self.busy_s.get(each, 0.0) for each in job_classes) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the operator wants. `max_processes` None: no limit. The targets are the backlog that is all right."""

    min_processes: int
    max_processes: int | None
    target_backlog_s: float
    bulk_target_backlog_s: float
    cooldown_s: float


@dataclass(frozen=True, slots=True)
class Demand:
    """The fleet at one moment.

    - `ready`: live processes, `young` of which started within the cool-down.
    - `queued_jobs`: jobs that no process has taken.
    - `waiting_s`: process-seconds of unanswered work of each class; inf where work waits and its cost is unknown.
    - `activity`: the slots of the cool-down, newest first.
    """

    ready: int
    young: int
    queued_jobs: int
    waiting_s: Mapping[JobClass, float]
    activity: Sequence[Activity]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The number of processes that a fleet should have, and why."""

    processes: int
    reason: Reason


def busy_processes(activity: Sequence[Activity], *job_classes: JobClass) -> float:
    """Return how many processes ran work of these classes, on average over the last half minute."""
    recent = activity[: 1 + _RECENT_SLOTS]
    seconds = sum(slot.seconds for slot in recent)
    return sum(slot.busy_s.get(each, 0.0) for slot in recent for each in job_classes) / seconds if seconds > 0 else 0.0


def processes_wanted(demand: Demand, bounds: Bounds) -> Wanted:
    """Return how many processes the fleet should have. Pure: the same demand always gives the same answer."""
    load = busy_processes(demand.activity, "interactive") / GROW_AT_SHARE
    backlog = _backlog(demand, bounds)
    # A job runs in one process, so more processes than jobs wait would find nothing to do.
    most = max(_whole_number(load), demand.ready + demand.queued_jobs)
    # Whatever a job is worth, it needs a process.
    grown = max(min(_whole_number(load + backlog), most), min(1, demand.queued_jobs))
    kept = _kept(demand)
    wanted = max(grown, kept)
    if wanted <= bounds.min_processes:
        return Wanted(bounds.min_processes, "minimum")
    if bounds.max_processes is not None and wanted > bounds.max_processes:
        return Wanted(bounds.max_processes, "maximum")
    if grown < kept:
        return Wanted(kept, "cooldown")
    return Wanted(grown, "load" if load >= backlog and load > 0 else "backlog")


def followed(wanted: int, kept: int, since_growth_s: float, cooldown_s: float) -> int:
    """Return how many processes to keep of `kept`: what is wanted, and no fewer within a cool-down of the last growth.

    The signal knows the processes that are ready. Those that start now are known to who started them alone.
    """
    return kept if wanted < kept and since_growth_s < cooldown_s else wanted


def _backlog(demand: Demand, bounds: Bounds) -> float:
    """Return the processes that bring the backlog to its targets: 0 where the live ones do, 1 where its cost is unknown
    and none lives."""
    if math.inf in demand.waiting_s.values():
        needed = 1.0
    else:
        targets: dict[JobClass, float] = {"interactive": bounds.target_backlog_s, "bulk": bounds.bulk_target_backlog_s}
        needed = sum(seconds / targets[each] for each, seconds in demand.waiting_s.items())
    return needed if needed > demand.ready else 0.0


def _kept(demand: Demand) -> int:
    """Return how many of its processes the fleet keeps: those that it needed within the cool-down, and the young ones.

    What a young process is good for is unknown yet. Only young ones are kept for that, so that one process which dies
    and starts again and again does not keep all others. Where Redis has lost the record, all are kept.
    """
    # Of the slot that is not over one heartbeat would look like many processes.
    whole = demand.activity[1:]
    peak = max((slot.busy("interactive") for slot in whole), default=0.0)
    ran = any(slot.busy("interactive", "bulk") > 0 for slot in demand.activity)
    most_alive = max((round(slot.alive) for slot in whole), default=0)
    needed = min(max(_whole_number(peak / SHRINK_AT_SHARE), int(ran)), max(demand.ready, most_alive))
    if not demand.activity[-1].alive_s:
        return max(needed, demand.ready)
    return max(needed, demand.young + min(demand.ready - demand.young, needed))


def _whole_number(processes: float) -> int:
    """Return the least whole number that is not less, but for rounding."""
    return math.ceil(round(processes, 6))
