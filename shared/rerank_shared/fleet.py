"""The fleet's state in Redis: models served, workers alive, the backlog, and the seconds until it is done.

Workers write it (announce, beat, share_cost); clients, gateways and commands read it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.errors import UnknownModel
from rerank_shared.keys import (
    COST_KEPT_S,
    COST_TTL_S,
    HEARTBEAT_TTL_S,
    IDENTITY_TTL_S,
    JOB_CLASSES,
    JobClass,
    Keys,
)
from rerank_shared.nearest import did_you_mean
from rerank_shared.queue.backlog import ask_backlog, read_backlog, total
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.scheduling.cost import CostParameters, SharedCost, Work, typical


def announce(
    pipe: Any, keys: Keys, identity: ScoringIdentity, now: float, names: Collection[str] | None = None
) -> None:
    """Queue on a pipeline the announcement of the scoring identity that a worker serves; `now` is epoch seconds.

    `names` are those that requests may ask for it by, as the operator's settings call it too; None: its own alone.
    """
    for name in names or [identity.model]:
        pipe.set(keys.identity(name), wire.encode_identity(identity), ex=IDENTITY_TTL_S)
        pipe.zadd(keys.models, {name: now + IDENTITY_TTL_S})
    pipe.zremrangebyscore(keys.models, "-inf", now)


def beat(pipe: Any, keys: Keys, heartbeat: Heartbeat, now: float) -> None:
    """Queue a worker's heartbeat on a pipeline."""
    until = now + HEARTBEAT_TTL_S
    keep(pipe, keys, keys.worker(heartbeat.worker_id), wire.encode_heartbeat(heartbeat), until)
    pipe.zadd(keys.workers, {heartbeat.worker_id: until})
    pipe.zremrangebyscore(keys.workers, "-inf", now)


def share_cost(
    pipe: Any, keys: Keys, names: Iterable[str], field: str, cost: SharedCost, dropped: Sequence[bytes] = ()
) -> None:
    """Queue on a pipeline the measured cost under each name of the model; `field` is the `cost_field` of the worker.

    `dropped` are fields to delete, as `stale_costs` finds them.
    """
    for name in names:
        pipe.hset(keys.cost(name), field, wire.encode_cost(cost))
        pipe.expire(keys.cost(name), COST_TTL_S)
        if dropped:
            pipe.hdel(keys.cost(name), *dropped)


def cost_field(precision: str, host: str) -> str:
    """Return the field of a measured cost: processes of one host and precision share one."""
    return f"{precision}|{host}"


def read_costs(record: Mapping[bytes, bytes]) -> dict[str, SharedCost]:
    """Return the costs by `cost_field`, as `HGETALL` of `keys.cost(model)` answered, without those of other releases
    that can't be read."""
    found = {_text(field): read_or_none("cost", wire.decode_cost, value) for field, value in record.items()}
    return {field: cost for field, cost in found.items() if cost is not None}


def stale_costs(record: Mapping[bytes, bytes], now: float) -> list[bytes]:
    """Return fields of the same answer that no worker has shared for `COST_KEPT_S`, or that can't be read; not more
    than one command of a script takes."""
    known = read_costs(record)
    fresh = {field for field, cost in known.items() if abs(now - cost.shared_at) <= COST_KEPT_S}
    return [field for field in record if _text(field) not in fresh][:_DROPPED_AT_ONCE]


def deregister(pipe: Any, keys: Keys, worker_id: str) -> None:
    """Queue on a pipeline the end of a worker's heartbeat, which would otherwise count until it runs out."""
    end(pipe, keys, keys.worker(worker_id))
    pipe.zrem(keys.workers, worker_id)


def read_identity(values: list[Any], model: str) -> ScoringIdentity | None:
    """Return the identity served under `model` from the answers to `ask_identity`; None if no model is announced.

    None too if a full server has evicted the announcement, which the workers soon repeat.

    Raises UnknownModel when the fleet serves other models and not this one.
    """
    record, served = values
    if record is not None:
        return wire.decode_identity(record)
    if served and model.encode() not in served:
        names = sorted(map(_text, served))
        hint = did_you_mean(model, names) or "; ask for one of these"
        raise UnknownModel(f"model: {model!r} is not served by this fleet, which serves {', '.join(names)}{hint}")
    return None


def ask_identity(pipe: Any, keys: Keys, model: str, now: float) -> None:
    """Queue on a pipeline the two commands whose answers `read_identity` reads."""
    pipe.get(keys.identity(model))
    pipe.zrangebyscore(keys.models, now, "+inf")


_DROPPED_AT_ONCE = 1_000
#: The answers to `ask_state`: workers, cost, the length of each queue, and two for the backlog of each class.
STATE_ANSWERS = 2 + 3 * len(JOB_CLASSES)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of one class. `queued_jobs` of its `jobs` wait on the queue; workers have the others.

    `oldest_at` is when the oldest job was enqueued, in epoch seconds; None where no job says so.
    """

    jobs: int
    work: Work
    queued_jobs: int
    oldest_at: float | None = None

    def oldest_age_s(self, now: float) -> float | None:
        """Return the age of the oldest job in seconds, None without any."""
        return None if self.oldest_at is None else max(0.0, now - self.oldest_at)

    @property
    def tokens(self) -> int:
        """Estimated tokens of all its jobs."""
        return round(self.work.tokens)

    @property
    def held_jobs(self) -> int:
        """Jobs that workers have taken and not answered."""
        return max(0, self.jobs - self.queued_jobs)


@dataclass(frozen=True, slots=True)
class FleetState:
    """The fleet at one moment. `cost` is that of one process, None while no worker has measured it."""

    workers: tuple[Heartbeat, ...]
    backlog: dict[JobClass, Backlog]
    cost: CostParameters | None

    @property
    def tokens_per_s(self) -> float:
        """Measured tokens a second of all live processes together."""
        return sum(worker.tokens_per_s for worker in self.workers)

    @property
    def predicted_drain_s(self) -> float:
        """Seconds until the backlog is done; with no process alive, by one process. inf while the cost is unknown."""
        return self.drain_s(*JOB_CLASSES)

    def drain_s(self, *job_classes: JobClass) -> float:
        """Return the same for the backlog of these classes alone."""
        return self.work_s(*job_classes) / max(1, len(self.workers))

    def work_s(self, *job_classes: JobClass) -> float:
        """Return the seconds that one process would need for the backlog of these classes; inf as above."""
        work = sum((self.backlog[job_class].work for job_class in job_classes), Work())
        if work == Work():
            return 0.0
        return math.inf if self.cost is None else self.cost.predict_s(work)


def ask_state(pipe: Any, keys: Keys, model: str, now: float) -> None:
    """Queue on a pipeline, sync or asyncio, the questions of `read_state` at `now`, by the server's clock:
    `STATE_ANSWERS` answers."""
    pipe.zrangebyscore(keys.workers, now, "+inf")
    pipe.hgetall(keys.cost(model))
    for job_class in JOB_CLASSES:
        pipe.llen(keys.queue_list(job_class))
    ask_backlog(pipe, keys, now)


def heartbeat_keys(keys: Keys, answers: Sequence[Any]) -> list[str]:
    """Return the keys that the last round trip reads by MGET; `answers` are those to `ask_state`."""
    return [keys.worker(_text(name)) for name in answers[0]]


def state_of(answers: Sequence[Any], records: Iterable[bytes | None], now: float) -> FleetState:
    """Return the state at `now` from the answers to `ask_state` and the records under `heartbeat_keys`."""
    _, costs, *rest = answers
    entries = read_backlog(list(rest[len(JOB_CLASSES) :]))
    backlog: dict[JobClass, Backlog] = {}
    for job_class, queued in zip(JOB_CLASSES, rest, strict=False):
        mine = [entry for entry in entries if entry.job_class == job_class]
        oldest_at = min((entry.enqueued_at for entry in mine if entry.enqueued_at), default=None)
        backlog[job_class] = Backlog(len(mine), total(mine), queued, oldest_at)
    beats = (read_or_none("heartbeat", wire.decode_heartbeat, record) for record in records if record is not None)
    workers = tuple(beat for beat in beats if beat is not None)
    return FleetState(workers, backlog, typical(read_costs(costs).values(), now))


def read_state(client: Any, keys: Keys, model: str) -> FleetState:
    """Read the state of the fleet: three round trips, linear in the size of the backlog."""
    now = server_epoch(client)
    pipe = client.pipeline(transaction=False)
    ask_state(pipe, keys, model, now)
    answers = pipe.execute()
    names = heartbeat_keys(keys, answers)
    return state_of(answers, client.mget(names) if names else [], now)


def _text(name: bytes) -> str:
    # Whatever stands in Redis: a name that is no text is the name of nobody.
    return name.decode(errors="replace")
