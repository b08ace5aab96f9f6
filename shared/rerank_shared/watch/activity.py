"""Activity: how many processes were alive and how many were running, over the last minutes, in slots of ten seconds.

Worker processes add their seconds with each heartbeat. So the record outlives them: a fleet that was scaled to 0, or
that crashed, can still be asked how busy it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rerank_shared.contract.unreadable import read_amount
from rerank_shared.keys import ACTIVITY_SLOT_S, ACTIVITY_TTL_S, HEARTBEAT_INTERVAL_S, JOB_CLASSES, JobClass, Keys
from rerank_shared.scheduling.autoscaling import Activity

_ALIVE = "alive"
_FIELDS = (_ALIVE, *JOB_CLASSES)
#: A process that could not reach Redis for longer adds this many seconds at most, so that no slot says more than was.
_LONGEST_S = 2 * HEARTBEAT_INTERVAL_S


def add_activity(pipe: Any, keys: Keys, now: float, alive_s: float, busy_s: Mapping[JobClass, float]) -> None:
    """Queue on a pipeline what a process did since its last heartbeat, `alive_s` seconds ago."""
    share = min(1.0, _LONGEST_S / alive_s) if alive_s > 0 else 0.0
    key = keys.activity(_slot(now))
    pipe.hincrbyfloat(key, _ALIVE, share * alive_s)
    for job_class, seconds in busy_s.items():
        if seconds > 0:
            pipe.hincrbyfloat(key, job_class, share * min(seconds, alive_s))
    pipe.expire(key, ACTIVITY_TTL_S)


def ask_activity(pipe: Any, keys: Keys, now: float, window_s: float) -> None:
    """Queue on a pipeline the questions that `read_activity` reads the answers of, one a slot, newest first."""
    for slot in range(_slot(now), _slot(now - window_s) - 1, -1):
        pipe.hmget(keys.activity(slot), *_FIELDS)


def read_activity(answers: Sequence[Sequence[bytes | None]], now: float) -> tuple[Activity, ...]:
    """Return the slots, newest first, from the answers to `ask_activity`. The first one is not over yet."""
    newest = _slot(now)
    found = []
    for back, answer in enumerate(answers):
        begun_at = (newest - back) * ACTIVITY_SLOT_S
        seconds = min(float(ACTIVITY_SLOT_S), max(0.0, now - begun_at))
        alive_s, *busy_s = (read_amount("activity", value) for value in answer)
        found.append(Activity(seconds, alive_s, dict(zip(JOB_CLASSES, busy_s, strict=True))))
    return tuple(found)


def _slot(at: float) -> int:
    return int(at // ACTIVITY_SLOT_S)
